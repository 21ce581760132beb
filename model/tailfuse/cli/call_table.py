"""`tailfuse call` of a table: its rows are sent in batches, and written as they are answered."""

from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tailfuse.cli.call_answers import make_document
from tailfuse.cli.row_writer import open_row_writer
from tailfuse.cli.rows_bar import show_rows
from tailfuse.cli.table_rows import iterate_rows
from tailfuse.errors import TableError, UserError
from tailfuse.scoring.missing_columns import find_missing_columns

if TYPE_CHECKING:
    from tailfuse_client import Answer, Client, ModelInfo, Problem

TEXTS = ("label", "problem")  # columns of text; the others are numbers


def call_table(
    client: "Client", table: Path, out: Path | None, *, top_k: int | None, explain: bool,
    prior: str | None, as_json: bool,
) -> tuple[int, int]:  # fmt: skip
    """Write an answer or a problem for each row; return the numbers of rows and of problems.

    Raises UserError, and Problem or NoAnswer if a whole request fails: no file is left behind then.
    """
    from tailfuse_client import Problem

    model = client.model()
    columns = list_columns(model, explain)
    n_problems = row = 0
    try:
        with (
            open_row_writer(out, columns, TEXTS, as_json=as_json) as write,
            show_rows(table, "asking", out) as on_rows,
        ):
            for row, result in enumerate(ask_rows(client, model, table, top_k, explain, prior), 1):
                write(make_document(result) if as_json else make_row(row, result))
                n_problems += isinstance(result, Problem)
                on_rows(1)
            if not row:
                raise TableError(f"{table}: the table has no rows")
    except OSError as error:
        if out is None or error.filename == str(table):
            raise
        raise UserError(f"{out}: cannot be written: {error.strerror}") from None
    return row, n_problems


def ask_rows(
    client: "Client", model: "ModelInfo", table: Path, top_k: int | None, explain: bool, prior: str | None
) -> "Iterator[Answer | Problem]":
    """Yield a result for each row, in order. A row with an unreadable file or list is not sent."""
    from tailfuse_client import Problem

    waiting: deque[Problem | None] = (
        deque()
    )  # for each row that has been read: its problem, None if it was sent

    def read_inputs() -> Iterator[Mapping[str, Any]]:
        is_first = True
        for row in iterate_rows(table):
            if is_first:
                find_missing_columns(list(row), list_model_columns(model))
                is_first = False
            inputs = encode_row(row, model, table.parent)
            waiting.append(inputs if isinstance(inputs, Problem) else None)
            if not isinstance(inputs, Problem):
                yield inputs

    def pop_problems() -> Iterator[Problem]:
        while waiting and (problem := waiting[0]) is not None:
            waiting.popleft()
            yield problem

    for result in client.predict_batch(read_inputs(), top_k=top_k, explain=explain, prior=prior):
        yield from pop_problems()
        waiting.popleft()
        yield result
    yield from pop_problems()


def encode_row(row: Mapping[str, Any], model: "ModelInfo", folder: Path) -> "Mapping[str, Any] | Problem":
    """Return what is sent for a row, or its problem if a file or a list in it cannot be read."""
    from tailfuse_client import Problem, inputs_of_row
    from tailfuse_client.values import encode_value

    try:
        return {name: encode_value(value) for name, value in inputs_of_row(row, model, folder).items()}
    except (OSError, TypeError, ValueError) as error:
        detail = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) else str(error)
        return Problem(
            {
                "type": "urn:tailfuse:problem:invalid-input", "title": "Invalid input", "status": 422,
                "detail": detail,
            }
        )  # fmt: skip


def list_model_columns(model: "ModelInfo") -> dict[str, list[str]]:
    """Return the columns that each modality of a model reads from a table."""
    columns = {}
    for name, modality in model.modalities.items():
        given = modality.get("columns") or [modality.get("column")]
        columns[name] = [each["name"] if isinstance(each, Mapping) else str(each) for each in given]
    return columns


def list_columns(model: "ModelInfo", explain: bool) -> list[str]:
    """Return the columns of the answers: those of `tailfuse predict`, but for its errors, and the problem."""
    columns = ["row", "label", "probability", *(f"probability.{each.name}" for each in model.classes)]
    numbers = ("weight", "confidence", *(["contribution"] if explain else []))
    columns += [f"{number}.{name}" for name in model.modalities for number in numbers]
    return [*columns, "conflict", "problem"]


def make_row(row: int, result: "Answer | Problem") -> dict[str, Any]:
    """Return an answer or a problem as a line of the table of answers."""
    from tailfuse_client import Problem

    if isinstance(result, Problem):
        return {"row": row, "problem": str(result)}
    line: dict[str, Any] = {"row": row, "label": result.label, "probability": result.probability}
    line |= {f"probability.{name}": value for name, value in result.probabilities.items()}
    for name, each in result.modalities.items():
        line |= {f"weight.{name}": each.weight, f"confidence.{name}": each.confidence}
    line["conflict"] = result.conflict
    if result.explanation:
        line |= {f"contribution.{name}": added for name, added in result.explanation.contributions.items()}
    return line
