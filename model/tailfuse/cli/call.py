"""tailfuse call"""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from tailfuse_service.bundle import PRIORS

from tailfuse import __version__
from tailfuse.cli.call_answers import indented, shown
from tailfuse.cli.call_table import call_table
from tailfuse.cli.inputs import INPUT_HELP, list_files, parse_inputs
from tailfuse.cli.options import EXIT_ROWS_WITH_ERROR, EXIT_STATUSES, overwrite_option
from tailfuse.cli.table_rows import read_row
from tailfuse.errors import UserError
from tailfuse.files.output import check_ending, check_output, write_output

if TYPE_CHECKING:
    from tailfuse_client import ModelInfo


@click.command("call", short_help="Ask a running service.", epilog=EXIT_STATUSES)
@click.argument("url")
@click.argument("table", type=click.Path(path_type=Path), required=False)
@click.option("-i", "--input", "inputs", multiple=True, metavar="MODALITY=VALUE", help=INPUT_HELP)
@click.option("--row", type=click.IntRange(min=1), help="Only this row of the table, counted from 1.")
@click.option("--top-k", type=click.IntRange(min=1), help="Only so many of the most probable classes.")
@click.option("--explain", is_flag=True, help="Say also what each modality contributes to the answer.")
@click.option(
    "--prior",
    type=click.Choice(PRIORS),
    help="Class shares that the answers hold for.  [those of the service]",
)
@click.option("--model", "name", help="Not the default model, but this one.")
@click.option(
    "--version", help="This version of --model; latest is the last that is neither canary nor shadow."
)
@click.option("--key", envvar="TAILFUSE_KEY", show_envvar=True, help="Your key, if the service wants one.")
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON; for a table, a line of it each row.")
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    help="File for the answers; of a TABLE, its ending is the format: .csv, .parquet or .jsonl.  [stdout]",
)
@overwrite_option
def command(
    url: str, table: Path | None, inputs: tuple[str, ...], row: int | None, top_k: int | None, explain: bool,
    prior: str | None, name: str | None, version: str | None, key: str | None, as_json: bool,
    out: Path | None, overwrite: bool,
) -> None:  # fmt: skip
    """Ask the service at URL, for one sample or for every row of TABLE.

    \b
    tailfuse call http://127.0.0.1:8000 -i image=0042.png -i shape=@shape.json
    tailfuse call http://127.0.0.1:8000 table.csv --row 12
    tailfuse call http://127.0.0.1:8000 table.csv --out answers.csv

    A row that cannot be answered has its problem in its place, and the exit status is 3.
    """
    if (table is None) == (not inputs):
        raise click.UsageError("give either a TABLE or one sample by --input")
    if row is not None and table is None:
        raise click.UsageError("--row is one of a TABLE")
    if version is not None and name is None:
        raise click.UsageError("--version is one of a --model")
    is_table = table is not None and row is None
    check_output(out, overwrite, sources=list_files(table, inputs))
    check_format(out, is_table=is_table, as_json=as_json)
    try:
        from tailfuse_client import Client, NoAnswer, Problem
    except ModuleNotFoundError as error:
        if error.name != "tailfuse_client":
            raise
        raise UserError(
            "this command needs the client: pip install ./client in a checkout, or "
            f"pip install tailfuse_client-{__version__}-py3-none-any.whl beside the wheel"
        ) from None

    n_rows = n_problems = 0
    try:
        with Client(url, model=name, version=version, key=key) as client:
            if table is not None and row is None:
                n_rows, n_problems = call_table(
                    client, table, out, top_k=top_k, explain=explain, prior=prior, as_json=as_json
                )
            else:
                sample = parse_sample(client.model(), table, row, inputs)
                answer = client.predict(sample, top_k=top_k, explain=explain, prior=prior)
                text = indented(answer) if as_json else shown(answer)
                if out is None:
                    click.echo(text, nl=False)
                else:
                    write_output(out, text)
    except (Problem, NoAnswer, ValueError) as error:
        raise UserError(str(error)) from None
    if out is not None:
        click.echo(f"Written: {out}", err=True)
    if n_problems:
        click.echo(f"{n_problems} of {n_rows} rows have a problem", err=True)
        sys.exit(EXIT_ROWS_WITH_ERROR)


def check_format(out: Path | None, *, is_table: bool, as_json: bool) -> None:
    """Raises UserError if the ending of --out is that of another format than is written."""
    if is_table and not as_json:
        check_ending(out)
    elif out is not None and out.suffix.lower() in (".csv", ".parquet"):
        what = "JSON Lines" if is_table else "the answer to one sample"
        raise UserError(f"--out {out}: {what} cannot be written as {out.suffix.lower()}")


def parse_sample(
    model: "ModelInfo", table: Path | None, row: int | None, inputs: Sequence[str]
) -> Mapping[str, Any]:
    """A row of the table, or what --input says. Raises UserError."""
    from tailfuse_client import Text, inputs_of_row

    if table is not None and row is not None:
        return inputs_of_row(read_row(table, row), model, table.parent)
    values = parse_inputs({name: each["kind"] for name, each in model.modalities.items()}, inputs)
    # --input says @file.txt for a file, so a value that looks like a path is a text.
    return {name: Text(value) if isinstance(value, str) else value for name, value in values.items()}
