"""tailfuse score"""

import sys
from pathlib import Path
from typing import Any

import click
import orjson
from tailfuse_service.bundle import RuntimeName

import tailfuse
from tailfuse.cli.options import EXIT_ROWS_WITH_ERROR, runtime_option
from tailfuse.cli.prior_option import prior_option

EXIT_STATUSES = """\
Exit status: 0 if all went well; 1 if a shard has no answers, and the last line says why; 2 if the command
line is wrong; 3 if all answers were written, but some rows have an error instead. The same command goes on
where it was stopped."""


@click.command("score", short_help="Answer many tables, with all cores.", epilog=EXIT_STATUSES)
@click.argument("bundle", type=click.Path(path_type=Path))
@click.argument("inputs", type=click.Path(path_type=Path), nargs=-1, required=True)
@click.option(
    "-o", "--out", type=click.Path(path_type=Path), required=True,
    help="Folder for the answers: a Parquet file with the name of each input.",
)  # fmt: skip
@click.option(
    "--keep",
    multiple=True,
    metavar="COLUMNS",
    help="Columns of the inputs to copy to the answers: names or patterns, separated by commas; or all.",
)
@click.option(
    "-p", "--processes", type=click.IntRange(1),
    help="Processes, each with the bundle open and one thread.  [the cores that may be used]",
)  # fmt: skip
@click.option(
    "--on",
    type=click.Choice(["processes", "ray"]),
    default="processes",
    show_default=True,
    help="Processes of this machine, or actors on the Ray cluster of RAY_ADDRESS.",
)
@click.option(
    "--overwrite", is_flag=True, help="Score all inputs again, and replace the answers in the folder."
)
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON on stdout.")
@prior_option("the bundle's own")
@runtime_option
def command(
    bundle: Path, inputs: tuple[Path, ...], out: Path, keep: tuple[str, ...], processes: int | None, on: Any,
    overwrite: bool, as_json: bool, prior: Any, runtime: RuntimeName,
) -> None:  # fmt: skip
    """Answer with BUNDLE every row of INPUTS: tables, or folders of tables.

    \b
    tailfuse score runs/digits/bundle in/*.parquet --out out
    tailfuse score runs/digits/bundle in --out out --keep id --processes 8

    Each table is a shard: its answers are a Parquet file of the same name, with the columns of `tailfuse
    predict`. What an earlier run has finished is kept, if it was made with the same bundle, options and
    input. A row with a cell that cannot be read has no answer: the column `error` says why. A table that
    cannot be read has none at all; the others are scored.
    """
    from rich.console import Console

    from tailfuse.cli.log import show_warnings
    from tailfuse.cli.score_progress import show_progress

    console = Console(stderr=True)
    show_warnings(console)
    failure = None
    with show_progress(console) as on_progress:
        try:
            scoring = tailfuse.score(
                bundle, inputs, out, keep=keep, overwrite=overwrite, prior=prior, runtime=runtime,
                processes=processes, on=on, on_progress=on_progress,
            )  # fmt: skip
        except tailfuse.ScoringError as error:
            failure, scoring = error, error.scoring
    if as_json:
        click.echo(orjson.dumps(scoring.as_json(), option=orjson.OPT_INDENT_2).decode())
    show_summary(scoring, out)
    if failure is not None:
        raise failure
    if scoring.counts.errors:
        sys.exit(EXIT_ROWS_WITH_ERROR)


def show_summary(scoring: tailfuse.Scoring, out: Path) -> None:
    """Print what was written, and what is wrong with rows."""
    counts = scoring.counts
    click.echo(
        f"Written: {out}: {len(scoring.records) - scoring.kept:,} shards scored, {scoring.kept:,} kept; "
        f"{scoring.scored_rows:,} rows in {scoring.seconds:,.1f} s, {scoring.rows_per_s:,.0f} rows/s",
        err=True,
    )
    if counts.without_modality:
        click.echo(
            f"{counts.without_modality:,} of {counts.rows:,} rows have no modality of this model", err=True
        )
    if counts.errors:
        click.echo(
            f"{counts.errors:,} of {counts.rows:,} rows have an error; the first is {counts.first_error}",
            err=True,
        )
