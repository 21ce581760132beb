"""tailfuse evaluate"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from tailfuse.cli.output import check_output, overwrite_option, write_output
from tailfuse.cli.prior_option import prior_option
from tailfuse.cli.report_rows_option import report_rows_option
from tailfuse.errors import UserError

EXIT_STATUSES = """\
Exit status: 0 if all went well; 1 if nothing was written, and the last line says why; 2 if the command line
is wrong."""


@click.command("evaluate", short_help="Judge a bundle on a labelled table.", epilog=EXIT_STATUSES)
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
@report_rows_option("ids")
@overwrite_option
@click.option(
    "--json", "as_json", is_flag=True, help="Print the figures as JSON on stdout instead of a table."
)
@prior_option("the bundle's own")
@click.option("--runtime", type=click.Choice(["onnx", "torchscript"]), default="onnx", show_default=True)
def command(
    bundle: Path, table: Path, part: str | None, out: Path, report: Path | None, report_rows: Any,
    overwrite: bool, as_json: bool, prior: Any, runtime: str,
) -> None:  # fmt: skip
    """Judge BUNDLE on the labelled rows of TABLE: every subset of modalities; many, medium and few shots."""
    report = report or out.with_suffix(".html")
    if report == out:
        raise UserError(f"{out}: is given for the figures and for the report; --report names another file")
    for path in (out, report):
        check_output(path, overwrite, source=table)

    from rich.console import Console
    from tailfuse_service.bundle import open_bundle

    from tailfuse.cli.log import show_warnings
    from tailfuse.data.labelled import labelled_part
    from tailfuse.evaluation.evaluate import (
        describe_calibration_error,
        evaluate,
        evaluation_json,
        subset_table,
    )
    from tailfuse.evaluation.findings import collect_findings
    from tailfuse.evaluation.prior_metrics import PRIORS_HEADING, evaluate_priors, prior_table
    from tailfuse.evaluation.report import report_html
    from tailfuse.files.reading import make_reading
    from tailfuse.files.table import read_table

    show_warnings(Console(stderr=True))
    opened = open_bundle(bundle, runtime=runtime, threads=0, prior=prior)  # type: ignore[arg-type]
    rows = labelled_part(opened.manifest, table, part)
    judged = replace(
        evaluate(opened.answer, rows, opened.manifest.classes),
        priors=evaluate_priors(opened.runtime.run, rows, opened.manifest),
    )
    text = json.dumps(evaluation_json(judged), indent=1)
    write_output(out, text)
    source = table.name if part is None else f"{table.name}, part {part}"
    findings = collect_findings(
        opened.manifest, opened.answer, rows, judged,
        lambda: read_table(table, make_reading(opened.manifest.spec)),
        shown=report_rows or "ids", source=part or "",
    )  # fmt: skip
    write_output(report, report_html(opened.manifest, judged, [], source, findings))
    if as_json:
        click.echo(text)
        return
    Console().print(subset_table(judged.metrics))
    click.echo(describe_calibration_error(judged.overall))
    if judged.priors:
        Console().print(PRIORS_HEADING, prior_table(judged.priors))
    click.echo(f"All figures: {out}\nReport: {report}", err=True)
