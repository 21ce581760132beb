"""Infer a first spec from a table, as `tailfuse init` does."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

from tailfuse.data.scaffold import scaffold_spec
from tailfuse.errors import UserError
from tailfuse.files.output import check_output, write_output
from tailfuse.files.reading import Reading, check_encoding, check_separator


def infer_spec(
    table: str | Path,
    out: str | Path | None = None,
    *,
    label: str | None = None,
    separator: str | None = None,
    decimal: Literal[".", ","] | None = None,
    encoding: str | None = None,
    overwrite: bool = False,
) -> str:
    """Infer what the columns of a table are for, and return a first spec: YAML with comments that say why.

    `table` is the path of a .csv, .tsv, .xlsx, .parquet, .feather, .jsonl or .tar, of a folder of them, or of
    one of images with a folder for each class. `out` is a file for the spec, in which the table's path is
    relative to it; without it nothing is written, and the path is relative to the working folder. `label`
    names the column to predict; without it one is inferred. `separator` and `encoding` are for a text table
    that does not show them, `decimal` for numbers such as 1,500 and 1.500, which may mean two. Raises
    TableError, UserError.

    >>> text = tailfuse.infer_spec("table.csv", "first.yaml", label="weather")
    >>> tailfuse.load_spec("first.yaml").label
    'weather'
    """
    source, target = Path(table), None if out is None else Path(out)
    check_output(target, overwrite, sources=[source])
    reading = Reading(
        separator=check("separator", separator, check_separator),
        decimal=decimal,
        encoding=check("encoding", encoding, check_encoding),
    )
    text = scaffold_spec(source, Path() if target is None else target.parent, label, reading)
    if target is not None:
        write_output(target, text)
    return text


def check(name: str, value: str | None, check_value: Callable[[str], str]) -> str | None:
    """Return a checked value, or None if none is given. Raises UserError."""
    if value is None:
        return None
    try:
        return check_value(value)
    except ValueError as error:
        raise UserError(f"{name} '{value}': {error}") from None
