"""tailfuse call"""

import csv
import io
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import orjson

from tailfuse import __version__
from tailfuse.cli.inputs import INPUT_HELP, parse_inputs
from tailfuse.cli.output import write_output
from tailfuse.errors import UserError
from tailfuse.files.long_cells import long_cells

if TYPE_CHECKING:
    from tailfuse_client import Answer, Explanation, ModelInfo, Problem

MAX_SHOWN_CLASSES = 10  # that are shown
BAR = 24  # characters of a whole one
EIGHTHS = " ▏▎▍▌▋▊▉"
SOME_HAVE_A_PROBLEM = 3  # exit code


@click.command("call", short_help="Ask a running service.")
@click.argument("url")
@click.argument("table", type=click.Path(path_type=Path), required=False)
@click.option("-i", "--input", "inputs", multiple=True, metavar="MODALITY=VALUE", help=INPUT_HELP)
@click.option("--row", type=click.IntRange(min=1), help="Only this row of the table, counted from 1.")
@click.option("--top-k", type=click.IntRange(min=1), help="Only so many of the most probable classes.")
@click.option("--explain", is_flag=True, help="Say also what each modality contributes to the answer.")
@click.option("--model", "name", help="Not the default model, but this one.")
@click.option("--version", help="This version of --model; latest is the newest.")
@click.option("--key", envvar="TAILFUSE_KEY", show_envvar=True, help="Your key, if the service wants one.")
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON; for a table, a line of it each row.")
@click.option("-o", "--out", type=click.Path(path_type=Path), help="Where the answers go.  [stdout]")
def command(
    url: str, table: Path | None, inputs: tuple[str, ...], row: int | None, top_k: int | None, explain: bool,
    name: str | None, version: str | None, key: str | None, as_json: bool, out: Path | None,
) -> None:  # fmt: skip
    """Ask the service at URL, for one sample or for every row of TABLE, which is answered in CSV.

    \b
    tailfuse call http://127.0.0.1:8000 -i image=0042.png -i shape=@shape.json
    tailfuse call http://127.0.0.1:8000 table.csv --row 12
    tailfuse call http://127.0.0.1:8000 table.csv --out answers.csv

    A row that is wrong has its problem in its place, and the exit code is 3.
    """
    if (table is None) == (not inputs):
        raise click.UsageError("give either a TABLE or one sample by --input")
    if row is not None and table is None:
        raise click.UsageError("--row is one of a TABLE")
    if version is not None and name is None:
        raise click.UsageError("--version is one of a --model")
    try:
        from tailfuse_client import Client, NoAnswer, Problem, inputs_of_row
    except ModuleNotFoundError as error:
        if error.name != "tailfuse_client":
            raise
        raise UserError(
            "this command needs the client: pip install ./client in a checkout, or "
            f"pip install tailfuse_client-{__version__}-py3-none-any.whl beside the wheel"
        ) from None

    results: list[Answer | Problem] = []
    try:
        with Client(url, model=name, version=version, key=key) as client:
            model = client.model()
            if table is not None and row is None:
                rows = read_rows(table)
                samples = (inputs_of_row(each, model, table.parent) for each in rows)
                answers = client.predict_batch(samples, top_k=top_k, explain=explain)
                quiet = not sys.stderr.isatty() or (out is None and sys.stdout.isatty())
                with click.progressbar(answers, len(rows), "asking", file=sys.stderr, hidden=quiet) as bar:
                    results = list(bar)
                text = json_lines(results) if as_json else format_csv(results, model, explain)
            else:
                answer = client.predict(parse_sample(model, table, row, inputs), top_k=top_k, explain=explain)
                text = indented(answer) if as_json else shown(answer)
    except (Problem, NoAnswer, ValueError) as error:
        raise UserError(str(error)) from None
    if out is None:
        click.echo(text, nl=False)
    else:
        write_output(out, text)
        click.echo(f"Written: {out}", err=True)
    n_problems = sum(isinstance(result, Problem) for result in results)
    if n_problems:
        click.echo(f"{n_problems} of {len(results)} rows have a problem", err=True)
        sys.exit(SOME_HAVE_A_PROBLEM)


def parse_sample(
    model: "ModelInfo", table: Path | None, row: int | None, inputs: Sequence[str]
) -> Mapping[str, Any]:
    """A row of the table, or what --input says. Raises UserError."""
    from tailfuse_client import inputs_of_row

    if table is not None and row is not None:
        return inputs_of_row(read_row(table, row), model, table.parent)
    return parse_inputs({name: each["kind"] for name, each in model.modalities.items()}, inputs)


def read_row(table: Path, row: int) -> Mapping[str, Any]:
    """One row, counted from 1. Raises UserError."""
    rows = read_rows(table)
    if row > len(rows):
        raise UserError(f"--row {row}: {table} has {len(rows):,} rows")
    return rows[row - 1]


def read_rows(table: Path) -> Sequence[Mapping[str, Any]]:
    """The rows of a .csv, for which the base install is enough, or of another table. Raises UserError."""
    if table.suffix.lower() != ".csv":
        from tailfuse.files.table import read_table

        return read_table(table).rows(named=True)
    try:
        with long_cells(), table.open(encoding="utf-8-sig", newline="") as file:
            return list(csv.DictReader(file))
    except (csv.Error, UnicodeDecodeError) as error:
        raise UserError(f"{table}: cannot be read: {error}") from None


def shown(answer: "Answer") -> str:
    """An answer for people: its classes, and how much each modality counted."""
    lines = [f"{answer.label}, {answer.probability:.1%}", ""]
    width = max(map(len, [*answer.probabilities, *answer.modalities, "modality"]))
    for name, probability in list(answer.probabilities.items())[:MAX_SHOWN_CLASSES]:
        lines.append(f"{name:{width}}  {probability:6.1%}  {bar(probability)}".rstrip())
    more = len(answer.probabilities) - MAX_SHOWN_CLASSES
    if more > 0:
        lines.append(f"and {more} classes that are less probable")
    lines += ["", f"{'modality':{width}}  {'weight':>6}  {'':{BAR}}  confidence"]
    for name, each in answer.modalities.items():
        if each.confidence is None:
            lines.append(f"{name:{width}}  absent")
        else:
            lines.append(
                f"{name:{width}}  {each.weight:6.3f}  {bar(each.weight):{BAR}}  {each.confidence:10.3f}"
            )
    if answer.explanation:
        lines += ["", *why(answer.explanation, width)]
    lines += ["", f"{answer.model.name}, version {answer.model.version}; request {answer.request_id}", ""]
    return "\n".join(lines)


def why(explanation: "Explanation", width: int) -> list[str]:
    """What each modality adds to the probability, and the answers to it alone and without it."""
    lines = [
        f"{'':{width}}  {'adds':>7}  {'alone':20}  without it",
        f"{'prior':{width}}  {explanation.prior:7.1%}",
    ]
    for name, added in explanation.contributions.items():
        alone, without = (
            "" if part is None else f"{part.label}, {part.probability:.1%}"
            for part in (explanation.alone[name], explanation.without[name])
        )
        lines.append(f"{name:{width}}  {added:+7.1%}  {alone:20}  {without}".rstrip())
    return lines


def bar(share: float) -> str:
    """A bar of up to BAR characters, exact to an eighth of one."""
    whole, eighths = divmod(round(share * BAR * 8), 8)
    return ("█" * whole + EIGHTHS[eighths]).rstrip()


def indented(answer: "Answer") -> str:
    """As POST /predict has answered it."""
    return orjson.dumps(
        make_document(answer), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
    ).decode()


def json_lines(results: Sequence["Answer | Problem"]) -> str:
    """A line for each, as POST /predict/batch has answered it."""
    return "".join(
        orjson.dumps(make_document(result), option=orjson.OPT_APPEND_NEWLINE).decode() for result in results
    )


def make_document(result: "Answer | Problem") -> Mapping[str, Any]:
    from tailfuse_client import Answer

    if not isinstance(result, Answer):
        return result.document
    document = asdict(result)
    if result.explanation is None:
        del document["explanation"]
    return document


def format_csv(results: Sequence["Answer | Problem"], model: "ModelInfo", explain: bool) -> str:
    """A line for each, with the columns of `tailfuse predict`, and its problem if it has one."""
    from tailfuse_client import Answer

    classes = [each.name for each in model.classes]
    header = ["row", "label", "probability", *(f"probability.{name}" for name in classes)]
    told = ("weight", "confidence", *(["contribution"] if explain else []))
    header += [f"{what}.{name}" for name in model.modalities for what in told]
    file = io.StringIO()
    lines = csv.DictWriter(file, [*header, "problem"], lineterminator="\n")
    lines.writeheader()
    for row, result in enumerate(results, 1):
        if not isinstance(result, Answer):
            lines.writerow({"row": row, "problem": str(result)})
            continue
        line = {"row": row, "label": result.label, "probability": result.probability}
        line |= {f"probability.{name}": value for name, value in result.probabilities.items()}
        for name, each in result.modalities.items():
            line |= {f"weight.{name}": each.weight, f"confidence.{name}": each.confidence}
        if result.explanation:
            line |= {
                f"contribution.{name}": added for name, added in result.explanation.contributions.items()
            }
        lines.writerow(line)
    return file.getvalue()
