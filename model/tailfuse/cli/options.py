"""Options and exit statuses that several commands share."""

import click

EXIT_ROWS_WITH_ERROR = 3
EXIT_STATUSES = """\
Exit status: 0 if all went well; 1 if nothing was written, and the last line says why; 2 if the command line
is wrong; 3 if the answers were written, but some rows have an error instead."""

overwrite_option = click.option("--overwrite", is_flag=True, help="Replace a file that exists.")
runtime_option = click.option(
    "--runtime", type=click.Choice(["onnx", "torchscript"]), default="onnx", show_default=True,
    help="Runtime that runs the graph: onnx, or torchscript, which needs torch.",
)  # fmt: skip
