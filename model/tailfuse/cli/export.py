"""tailfuse export"""

import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import tailfuse
from tailfuse.cli.report_rows_option import report_rows_option
from tailfuse.cli.version_option import version_option
from tailfuse.errors import UserError

if TYPE_CHECKING:
    from rich.table import Table

    from tailfuse.export.reduce import Comparison, GraphScores
    from tailfuse.spec.schema import ShownRows

MAX_EXAMPLES = 10  # all of them are in the OpenAPI document
FELL = 0.005  # of balanced accuracy: more is worth a warning

log = logging.getLogger("tailfuse")


@click.command("export", short_help="Write the bundle of a trained run anew, or one of less precision.")
@click.argument("source", metavar="RUN|BUNDLE", type=click.Path(path_type=Path))
@click.option(
    "-o", "--out", type=click.Path(path_type=Path), help="The bundle: a folder, or a file ending in .zip."
)
@click.option(
    "--precision", type=click.Choice(["float32", "float16", "int8"]), default="float32", show_default=True,
    help="Of the encoders' layers; all else stays float32.",
)  # fmt: skip
@click.option(
    "--table", type=click.Path(path_type=Path),
    help="The table that a BUNDLE was trained on; that of a RUN is known.",
)  # fmt: skip
@click.option(
    "--examples", type=click.IntRange(0, MAX_EXAMPLES), default=0,
    help="Test rows that the bundle shows as examples in /docs and the console, in clear. Default: none; "
    "only for a RUN.",
)  # fmt: skip
@report_rows_option("as trained; only for a RUN")
@version_option("that of RUN, or of BUNDLE and +PRECISION")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON on stdout.")
def command(
    source: Path, out: Path | None, precision: str, table: Path | None, examples: int, report_rows: Any,
    version: str | None, as_json: bool,
) -> None:  # fmt: skip
    """Export the trained network of RUN (a folder of `tailfuse train`) as a bundle.

    Both graphs are checked against the network on every subset of modalities; nothing is written if one
    differs. Training exports already: this is for a .zip, or for a tailfuse that has changed.

    With --precision float16 or int8 the bundle of RUN, or BUNDLE, is written anew with a smaller graph.
    Float32 and the new one answer the table's test rows, and what the difference costs is shown side by side.

    \b
    tailfuse export runs/digits --precision int8 --out bundles/digits-int8
    """
    if precision == "float32":
        export_float32(source, out, version, examples, report_rows, as_json)
    elif examples or report_rows:
        option = "--examples" if examples else "--report-rows"
        raise UserError(f"{option} goes with --precision float32; a smaller bundle keeps those of its BUNDLE")
    elif out is None:
        raise UserError(f"--precision {precision} needs --out, for it writes another bundle")
    else:
        export_reduced(source, out, precision, table, version, as_json)


def export_float32(
    run: Path, out: Path | None, version: str | None, n_examples: int, report_rows: "ShownRows | None",
    as_json: bool,
) -> None:  # fmt: skip
    """Raises RunError, TableError, ExportError."""
    from rich.console import Console

    from tailfuse.cli.log import show_warnings

    show_warnings(Console(stderr=True))
    target = tailfuse.export_run(run, out, version=version, n_examples=n_examples, report_rows=report_rows)
    if as_json:
        click.echo(json.dumps({"precision": "float32", "bundle": str(target)}, indent=1))
    click.echo(f"Written: {target}", err=as_json)


def export_reduced(
    source: Path, out: Path, precision: Any, table: Path | None, version: str | None, as_json: bool
) -> None:
    """Raises BundleError, UserError, TableError, ExportError."""
    from rich.console import Console

    from tailfuse.cli.log import show_warnings

    console = Console(stderr=True)
    show_warnings(console)
    with console.status(f"answering test rows in float32 and in {precision} …"):
        comparison = tailfuse.reduce_bundle(source, out, precision, table=table, version=version)
    before, after = comparison.float32.metrics.balanced_accuracy, comparison.reduced.metrics.balanced_accuracy
    if before is not None and after is not None and before - after > FELL:
        log.warning("balanced accuracy falls by %.1f points", 100 * (before - after))
    if as_json:
        click.echo(json.dumps(comparison_json(comparison, precision), indent=1))
    else:
        Console().print(comparison_table(comparison, precision))
    click.echo(f"Written: {out}", err=True)


def comparison_table(comparison: "Comparison", precision: str) -> "Table":
    """Both graphs side by side."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from tailfuse.evaluation.evaluate import decimal, percent

    def column(judged: "GraphScores") -> list[str]:
        metrics, times = judged.metrics, judged.microseconds
        shares = percent(metrics.balanced_accuracy), percent(metrics.few), decimal(metrics.ece)
        return [*shares, f"{judged.n_bytes:,}", *(f"{each:.1f}" for each in times.values())]

    headings = ["balanced accuracy", "few-shot classes", "calibration error", "bytes of model.onnx"]
    headings += [f"µs a sample, batch {size}" for size in comparison.float32.microseconds]
    table = Table("", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for name in ("float32", precision):
        table.add_column(name, justify="right")
    for row in zip(headings, column(comparison.float32), column(comparison.reduced), strict=True):
        table.add_row(*row)
    table.caption = f"greatest difference of a probability: {comparison.difference:.3f}"
    return table


def comparison_json(comparison: "Comparison", precision: str) -> dict[str, Any]:
    """The same as plain JSON."""
    both = {"float32": comparison.float32, precision: comparison.reduced}
    return {
        "precision": precision,
        "difference": comparison.difference,
        **{
            name: {
                "metrics": judged.metrics.model_dump(),
                "bytes": judged.n_bytes,
                "microseconds": {str(size): each for size, each in judged.microseconds.items()},
            }
            for name, judged in both.items()
        },
    }
