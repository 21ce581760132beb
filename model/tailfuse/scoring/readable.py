"""The rows of a table as arrays, apart from those with a cell that cannot be read."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
from tailfuse_service.modalities import Modality

from tailfuse.data.dataset import make_split_arrays
from tailfuse.data.split_arrays import SplitArrays
from tailfuse.errors import TableError
from tailfuse.files.table import Rows


def read_rows(
    table: pl.DataFrame, modalities: dict[str, Modality], folder: Path, rows: Rows | None = None
) -> Iterator[tuple[Rows, SplitArrays | str]]:
    """Yield runs of rows as arrays, and each row that has an unreadable cell alone, with what is wrong.

    A whole column is converted at once, and its error names one row only. So rows are halved until the
    unreadable one is alone: a table without errors is read in one go. Raises TableError if the fault is not
    one row's, such as a column of the wrong type.
    """
    rows = np.arange(len(table)) if rows is None else rows
    found: SplitArrays | str
    try:
        found = make_split_arrays(table, modalities, folder, rows=rows)
    except TableError as error:
        if len(rows) > 1:
            middle = len(rows) // 2
            yield from read_rows(table, modalities, folder, rows[:middle])
            yield from read_rows(table, modalities, folder, rows[middle:])
            return
        place = f"row {rows[0] + 1}"
        if not str(error).startswith(place):
            raise
        found = str(error).removeprefix(place).lstrip(":, ")
    yield rows, found
