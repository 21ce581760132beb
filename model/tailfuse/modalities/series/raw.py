"""The raw values of time series in a table: lists in cells, or files."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from tailfuse.errors import TableError
from tailfuse.files.table import Rows, place, type_name
from tailfuse.modalities.files import read_bytes


def read_series(
    table: pl.DataFrame, name: str, columns: Sequence[str], folder: Path, rows: Rows
) -> Iterator[Any]:
    """Yield the raw value of a series at each of `rows`, as `read_steps` takes it; None where it is missing.

    One column holds all channels of a series; several hold a channel each. Raises TableError.
    """
    if len(columns) == 1:
        yield from read_whole(table[columns[0]], place(name, columns[0]), folder, rows)
        return
    for column in columns:
        if list_depth(table[column].dtype) != 1 and table[column].dtype != pl.Null:
            raise TableError(
                f"{place(name, column)}: holds {type_name(table[column])}; of several columns each is a "
                "channel, a list of numbers"
            )
    channels = [read_lists(table[column], rows) for column in columns]
    for values in zip(*channels, strict=True):
        given = {column: value for column, value in zip(columns, values, strict=True) if value is not None}
        yield given or None


def read_whole(column: pl.Series, where: str, folder: Path, rows: Rows) -> Iterator[Any]:
    """Yield all channels of each series, from one column. Raises TableError."""
    if list_depth(column.dtype) in (1, 2):
        yield from read_lists(column, rows)
        return
    if column.dtype not in (pl.String, pl.Binary, pl.Null):
        raise TableError(
            f"{where}: holds {type_name(column)}; lists of numbers are taken, and paths or the bytes of "
            ".npy, .wav or .csv files"
        )
    for value in column[rows]:
        if isinstance(value, str) and value.lstrip().startswith("["):
            value = value.encode()  # a list, as it is written in CSV
        yield read_bytes(value, folder)


def list_depth(dtype: pl.DataType) -> int:
    """Return how many lists deep numbers are; 0 for anything but lists of numbers."""
    levels = 0
    while isinstance(dtype, pl.List | pl.Array):
        dtype, levels = pl.Series([], dtype=dtype.inner).dtype, levels + 1
    return levels if dtype.is_numeric() or dtype == pl.Null else 0


def read_lists(column: pl.Series, rows: Rows) -> Iterator[NDArray[np.float64] | list[Any] | None]:
    """Yield lists of numbers as arrays, nulls as NaN; lists that are not rectangular stay lists."""
    if column.dtype == pl.Null:
        yield from [None] * len(rows)
        return
    numbers: pl.DataType = pl.Float64()
    for _ in range(list_depth(column.dtype)):
        numbers = pl.List(numbers)
    for value in column[rows].cast(numbers):
        if value is None or value.dtype == pl.Float64:
            yield None if value is None else value.to_numpy()
        elif value.null_count() or value.list.len().n_unique() != 1:
            yield value.to_list()
        else:
            yield value.explode().to_numpy().reshape(len(value), -1)
