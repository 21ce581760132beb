"""tailfuse predict"""

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import orjson
from tailfuse_service.bundle import Bundle, format_answer, make_predictions, open_bundle

from tailfuse.cli.inputs import INPUT_HELP, parse_inputs
from tailfuse.cli.output import (
    EXIT_ROWS_WITH_ERROR,
    EXIT_STATUSES,
    TABLE_ENDINGS,
    check_ending,
    check_output,
    overwrite_option,
    write_output,
)
from tailfuse.cli.prior_option import prior_option
from tailfuse.errors import UserError

if TYPE_CHECKING:
    from tailfuse.scoring.answers import Counts


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
@click.option("--runtime", type=click.Choice(["onnx", "torchscript"]), default="onnx", show_default=True)
def command(
    bundle: Path, table: Path | None, inputs: tuple[str, ...], keep: tuple[str, ...], out: Path | None,
    overwrite: bool, as_json: bool, prior: Any, runtime: str,
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
    check_output(out, overwrite, source=table)
    if table is not None:
        check_ending(out)
    elif out is not None and out.suffix.lower() in TABLE_ENDINGS:
        raise UserError(f"--out {out}: the answer to one sample is JSON; write to a .json file")
    opened = open_bundle(bundle, runtime=runtime, threads=0, prior=prior)  # type: ignore[arg-type]
    if table is None:
        kinds = {name: modality.kind for name, modality in opened.manifest.modalities.items()}
        text = predict_sample(opened, parse_inputs(kinds, inputs))
        if out is None:
            sys.stdout.write(text)
            return
        write_output(out, text)
        click.echo(f"Written: {out}", err=True)
        return
    counts = predict_table(opened, table, keep, out)
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


def predict_sample(bundle: Bundle, inputs: dict[str, Any]) -> str:
    """The answer for one sample as JSON, as POST /predict gives it, but for the request's id."""
    sample = bundle.sample(inputs)
    batch = bundle.collate([sample])
    [prediction] = make_predictions(bundle.answer(batch), batch.presence, bundle.manifest.class_names)
    answer = format_answer(prediction, bundle.manifest, request_id="", prior=bundle.stated_prior)
    del answer["request_id"]  # there was no request
    return orjson.dumps(answer, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE).decode()


def predict_table(bundle: Bundle, path: Path, keep: Sequence[str], out: Path | None) -> "Counts":
    """Write the answers to all rows, in pieces: label, probabilities, weights, confidences, and errors.

    Raises UserError, and leaves no file behind then.
    """
    from rich.console import Console

    from tailfuse.cli.log import show_warnings
    from tailfuse.cli.rows_bar import show_rows
    from tailfuse.files.reading import make_reading
    from tailfuse.files.table import read_batches
    from tailfuse.files.table_writer import open_table_writer
    from tailfuse.scoring.answers import Counts, TableScorer

    show_warnings(Console(stderr=True))
    counts = Counts()
    reading = make_reading(bundle.manifest.spec)
    ending = ".csv" if out is None else out.suffix.lower()
    scorer = TableScorer(bundle, path.parent, reading.missing, keep, ending)
    batches = read_batches(path, replace(reading, missing=()))
    try:
        with open_table_writer(out) as write, show_rows(path, "predicting", out) as on_rows:
            for answers in scorer.score(batches, counts):
                write(answers)
                on_rows(len(answers))
            check_answered(counts, path, bundle)
    except OSError as error:
        if out is None:
            raise
        raise UserError(f"{out}: cannot be written: {error.strerror}") from None
    return counts


def check_answered(counts: "Counts", path: Path, bundle: Bundle) -> None:
    """Raises UserError if there is nothing to answer."""
    if not counts.rows:
        raise UserError(f"{path}: the table has no rows")
    if not (counts.answered or counts.errors):
        known = ", ".join(bundle.manifest.modalities)
        raise UserError(f"{path}: no row has any modality of this model: {known}")
