"""The rows of a table as arrays, apart from those with a cell that cannot be read."""

from collections import deque
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from tailfuse_service.modalities import Modality

from tailfuse.data.dataset import make_split_arrays
from tailfuse.data.split_arrays import SplitArrays
from tailfuse.errors import TableError
from tailfuse.files.table import Rows
from tailfuse.modalities import KINDS


@dataclass(frozen=True, slots=True)
class ReadableRows:
    """`arrays` are those of `rows`; `errors` says of each other row what is wrong with it."""

    rows: Rows
    arrays: SplitArrays
    errors: dict[int, str]


def read_rows(table: pl.DataFrame, modalities: dict[str, Modality], folder: Path) -> ReadableRows:
    """Read the rows that can be read. Raises TableError if a fault is not one row's, such as a wrong type."""
    errors: dict[int, str] = {}
    rows = np.arange(len(table))
    try:
        arrays = make_split_arrays(table, modalities, folder, rows=rows, errors=errors)
    except TableError:  # of whole columns, which name one row only
        for name, modality in modalities.items():
            errors |= find_unreadable_cells(name, modality, table, folder, rows)
        rows = np.array([row for row in rows if row not in errors], np.int64)
        arrays = make_split_arrays(table, modalities, folder, rows=rows, errors=errors)
    good = np.array([at for at, row in enumerate(rows) if row not in errors], np.int64)
    return ReadableRows(rows[good], arrays.take(good), errors)


def find_unreadable_cells(
    name: str, modality: Modality, table: pl.DataFrame, folder: Path, rows: Rows
) -> dict[int, str]:
    """Return each row in which the modality has a cell that cannot be read, and what is wrong with it.

    A whole column is converted at once, so rows are halved until the unreadable one is alone.
    """
    kind = KINDS[modality.kind]
    if kind.reads_files or not len(rows):  # an unreadable file is found when it is read
        return {}
    try:
        if kind.read_arrays(name, modality, table, rows) is None:
            deque(kind.raw_values(name, modality, table, rows, folder), maxlen=0)
        return {}
    except TableError as error:
        if len(rows) > 1:
            middle = len(rows) // 2
            return find_unreadable_cells(name, modality, table, folder, rows[:middle]) | (
                find_unreadable_cells(name, modality, table, folder, rows[middle:])
            )
        place = f"row {rows[0] + 1}"
        if not str(error).startswith(place):
            raise
        return {int(rows[0]): str(error).removeprefix(place).lstrip(":, ")}
