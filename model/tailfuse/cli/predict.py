"""tailfuse predict"""

import sys
from pathlib import Path
from typing import Any

import click
import orjson
from tailfuse_service.bundle import RuntimeName, open_bundle

import tailfuse
from tailfuse.cli.inputs import INPUT_HELP, list_files, parse_inputs
from tailfuse.cli.options import EXIT_ROWS_WITH_ERROR, EXIT_STATUSES, overwrite_option, runtime_option
from tailfuse.cli.prior_option import prior_option
from tailfuse.errors import UserError
from tailfuse.files.output import TABLE_ENDINGS, check_output, check_stdout, write_output


@click.command("predict", short_help="Answer with a bundle, without a server.", epilog=EXIT_STATUSES)
@click.argument("bundle", type=click.Path(path_type=Path))
@click.argument("table", type=click.Path(path_type=Path), required=False)
@click.option("-i", "--input", "inputs", multiple=True, metavar="MODALITY=VALUE", help=INPUT_HELP)
@click.option(
    "--keep",
    multiple=True,
    metavar="COLUMNS",
    help="Columns of TABLE to copy to the answers: names or patterns, separated by commas; or all.",
)
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    help="File for the answers; of a TABLE, its ending is the format: .csv, .parquet or .jsonl.  [stdout]",
)
@overwrite_option
@click.option(
    "--json", "as_json", is_flag=True, help="Print the counts of rows as JSON on stdout; needs --out."
)
@prior_option("the bundle's own")
@runtime_option
def command(
    bundle: Path, table: Path | None, inputs: tuple[str, ...], keep: tuple[str, ...], out: Path | None,
    overwrite: bool, as_json: bool, prior: Any, runtime: RuntimeName,
) -> None:  # fmt: skip
    """Answer with BUNDLE, without a server: for every row of TABLE, as a table, or for one sample, as JSON.

    \b
    tailfuse predict runs/digits/bundle table.csv --keep id --out answers.csv
    tailfuse predict runs/digits/bundle table.parquet --keep all --out answers.parquet
    tailfuse predict runs/digits/bundle -i image=0042.png -i shape=@shape.json

    A column that TABLE lacks counts as missing. A row with a cell that cannot be read has no answer: the
    column `error` says why, and the exit status is 3. A row without any modality has empty answers.
    """
    if (table is None) == (not inputs):
        raise click.UsageError("give either a TABLE or one sample by --input")
    if table is None and (keep or as_json):
        raise click.UsageError("--keep and --json need a TABLE")
    if as_json and out is None:
        raise click.UsageError("--json needs --out: the answers would be printed among the counts")
    if out is None:
        check_stdout()
    check_output(out, overwrite, sources=list_files(table, inputs), bundles=[bundle])
    if table is None:
        if out is not None and out.suffix.lower() in TABLE_ENDINGS:
            raise UserError(f"--out {out}: the answer to one sample is JSON; write to a .json file")
        opened = open_bundle(bundle, runtime=runtime, threads=0, prior=prior)
        kinds = {name: modality.kind for name, modality in opened.manifest.modalities.items()}
        answer = tailfuse.predict_sample(opened, parse_inputs(kinds, inputs))
        text = orjson.dumps(answer, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE).decode()
        if out is None:
            click.echo(text, nl=False)
            return
        write_output(out, text)
        click.echo(f"Written: {out}", err=True)
        return

    from rich.console import Console

    from tailfuse.cli.log import show_warnings
    from tailfuse.cli.rows_bar import show_rows

    show_warnings(Console(stderr=True))
    with show_rows(table, "predicting", out) as on_rows:
        counts = tailfuse.predict(
            bundle, table, out, keep=keep, overwrite=overwrite, prior=prior, runtime=runtime, on_rows=on_rows
        )
    if out is not None:
        click.echo(f"Written: {out}", err=True)
    if as_json:
        click.echo(orjson.dumps(counts.as_json(), option=orjson.OPT_INDENT_2).decode())
    if counts.without_modality:
        click.echo(
            f"{counts.without_modality:,} of {counts.rows:,} rows have no modality of this model",
            err=True,
        )
    if counts.errors:
        click.echo(
            f"{counts.errors:,} of {counts.rows:,} rows have an error; the first is {counts.first_error}",
            err=True,
        )
        sys.exit(EXIT_ROWS_WITH_ERROR)
