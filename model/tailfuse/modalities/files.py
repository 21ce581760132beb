"""Cells of a table that are files: their bytes, and what is said of those that cannot be read."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from tailfuse.errors import TableError
from tailfuse.files.cells import Unreadable

HEAD = 2**16  # bytes that hold the header of most files
MAX_NAMED = 3  # rows in a message


log = logging.getLogger("tailfuse")


@dataclass(frozen=True)
class UnreadableFile:
    """The value of a file that cannot be read: it is not the same as a cell without one."""

    why: str


def read_bytes(
    value: str | bytes | None, folder: Path, max_bytes: int | None = None
) -> bytes | UnreadableFile | None:
    """Return the bytes themselves, or those of the file at a path; None if the cell is empty."""
    if value is None or value == "":
        return None
    if isinstance(value, str):
        try:
            with (folder / value).open("rb") as file:
                value = file.read(-1 if max_bytes is None else max_bytes)
        except (OSError, ValueError) as error:
            return UnreadableFile((getattr(error, "strerror", None) or "not a path").lower())
    return value[:max_bytes] or UnreadableFile("the file is empty")


def name_source(table: pl.DataFrame, column: str, row: int) -> str:
    """Name the column that a file's bytes come from, and its path if it has one, for a message."""
    value = table[column][row]
    return f", column '{column}'" + (f" ({value:.80})" if isinstance(value, str) else "")


def report_unreadable(
    name: str, found: Sequence[tuple[str, UnreadableFile]], n_files: int, on_unreadable: Unreadable
) -> None:
    """Warn of the files `found` unreadable, each with its place, out of all of a modality's files.

    Raises TableError if they stop, or if no file can be read.
    """
    if not found:
        return
    first = "; ".join(f"{place}: {each.why}" for place, each in found[:MAX_NAMED])
    more = f"; and {len(found) - MAX_NAMED} more" if len(found) > MAX_NAMED else ""
    counted = f"modality '{name}': {len(found)} of {n_files} files cannot be read: {first}{more}"
    if on_unreadable == "stop":
        raise TableError(f"{counted} (modalities.{name}.unreadable: missing counts them as missing)")
    if len(found) == n_files:
        raise TableError(counted)
    log.warning("%s; they count as missing", counted)
