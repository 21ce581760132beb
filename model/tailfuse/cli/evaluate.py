"""tailfuse evaluate"""

import json
from pathlib import Path
from typing import Any

import click
from tailfuse_service.bundle import RuntimeName

import tailfuse
from tailfuse.cli.options import overwrite_option, runtime_option
from tailfuse.cli.prior_option import prior_option
from tailfuse.cli.report_rows_option import report_rows_option
from tailfuse.errors import UserError
from tailfuse.files.output import check_output, write_output

EXIT_STATUSES = """\
Exit status: 0 if all went well; 1 if nothing was written, and the last line says why; 2 if the command line
is wrong."""


@click.command("evaluate", short_help="Evaluate a bundle on a labelled table.", epilog=EXIT_STATUSES)
@click.argument("bundle", type=click.Path(path_type=Path))
@click.argument("table", type=click.Path(path_type=Path))
@click.option(
    "--part", type=click.Choice(["train", "val", "test"]), help="Only these rows of the spec's split."
)
@click.option(
    "-o", "--out", type=click.Path(path_type=Path), default="evaluation.json", show_default=True,
    help="File for all figures, as JSON.",
)  # fmt: skip
@click.option(
    "--report",
    type=click.Path(path_type=Path),
    help="File for the report, one HTML page.  [--out with .html]",
)
@click.option(
    "--trained-on", type=click.Path(path_type=Path), metavar="TABLE",
    help="The table of the training; the report then has logistic regression on its rows.",
)  # fmt: skip
@report_rows_option("ids")
@overwrite_option
@click.option(
    "--json", "as_json", is_flag=True, help="Print the figures as JSON on stdout instead of a table."
)
@prior_option("the bundle's own")
@runtime_option
def command(
    bundle: Path, table: Path, part: str | None, out: Path, report: Path | None, trained_on: Path | None,
    report_rows: Any, overwrite: bool, as_json: bool, prior: Any, runtime: RuntimeName,
) -> None:  # fmt: skip
    """Evaluate BUNDLE on the labelled rows of TABLE: every subset of modalities; many, medium, few shots."""
    report = report or out.with_suffix(".html")
    if report.resolve() == out.resolve():
        raise UserError(f"{out}: is given for the figures and for the report; --report names another file")
    for path in (out, report):
        sources = [each for each in (table, trained_on) if each is not None]
        check_output(path, overwrite, sources=sources, bundles=[bundle])

    from rich.console import Console

    from tailfuse.cli.log import show_warnings
    from tailfuse.evaluation.evaluate import describe_calibration_error, subset_table
    from tailfuse.evaluation.prior_metrics import PRIORS_HEADING, prior_table

    show_warnings(Console(stderr=True))
    judged = tailfuse.evaluate(bundle, table, part=part, trained_on=trained_on, prior=prior, runtime=runtime)
    text, page = json.dumps(judged.to_dict(), indent=1), judged.to_page(rows=report_rows or "ids")
    write_output(out, text)
    write_output(report, page)
    if as_json:
        click.echo(text)
        return
    evaluation = judged.evaluation
    Console().print(subset_table(evaluation.metrics))
    click.echo(describe_calibration_error(evaluation.overall))
    if evaluation.priors:
        Console().print(PRIORS_HEADING, prior_table(evaluation.priors))
    click.echo(f"All figures: {out}\nReport: {report}", err=True)
