"""Cells of a table that are files: their bytes, and what an error says of them."""

from pathlib import Path

import polars as pl

from tailfuse.errors import TableError


def read_bytes(value: str | bytes | None, folder: Path, where: str) -> bytes | None:
    """Return the bytes themselves, or those of the file at a path; None if there are none.

    Raises TableError.
    """
    if not isinstance(value, str):
        return value or None
    try:
        return (folder / value).read_bytes() or None
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "not a path"
        raise TableError(f"{where}: {value:.80}: {why.lower()}") from None


def name_source(table: pl.DataFrame, column: str, row: int) -> str:
    """Name the column that a file's bytes come from, and its path if it has one, for a message."""
    value = table[column][row]
    return f", column '{column}'" + (f" ({value})" if isinstance(value, str) else "")
