"""The raw values of a table's rows, as features take them: a picture's bytes, a series' steps, …"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from tailfuse_service.modalities import Modality

from tailfuse.data.table import Rows, place, type_name, typed
from tailfuse.errors import TableError


def raw_values(table: pl.DataFrame, name: str, modality: Modality, folder: Path, rows: Rows) -> Iterator[Any]:
    """The raw value of a modality at each of `rows`, as `Features.apply` takes it; None where it is missing.

    Paths are relative to `folder`. Raises TableError that names modality, column and row.
    """
    if modality.kind == "image":
        yield from pictures(table, name, modality.column, folder, rows)
    elif modality.kind == "series":
        yield from series_values(table, name, modality.columns, folder, rows)
    elif modality.kind == "text":
        texts = pl.DataFrame(
            [typed(table[column], "category", place(name, column), rows) for column in modality.columns]
        )
        if len(modality.columns) == 1:
            yield from texts.to_series()
        else:
            yield from (row if any(row.values()) else None for row in texts.iter_rows(named=True))
    else:
        yield from pl.DataFrame(
            [
                typed(table[column.name], column.type, place(name, column.name), rows)
                for column in modality.columns
            ]
        ).iter_rows(named=True)


def pictures(table: pl.DataFrame, name: str, column: str, folder: Path, rows: Rows) -> Iterator[bytes | None]:
    """The bytes of each picture, read when they are asked for."""
    where = place(name, column)
    series = table[column]
    if series.dtype not in (pl.String, pl.Binary, pl.Null):
        raise TableError(f"{where}: holds {type_name(series)}; paths or the bytes of pictures are taken")
    for row, value in zip(rows, series[rows], strict=True):
        yield file_bytes(value, folder, f"row {row + 1}: {where}")


def series_values(
    table: pl.DataFrame, name: str, columns: Sequence[str], folder: Path, rows: Rows
) -> Iterator[Any]:
    """The raw value of a series at each of `rows`, as `steps_of` takes it; None where it is missing.

    One column holds all channels of a series; several hold a channel each. Raises TableError.
    """
    if len(columns) == 1:
        yield from whole(table[columns[0]], place(name, columns[0]), folder, rows)
        return
    for column in columns:
        if depth(table[column].dtype) != 1 and table[column].dtype != pl.Null:
            raise TableError(
                f"{place(name, column)}: holds {type_name(table[column])}; of several columns each is a "
                "channel, a list of numbers"
            )
    channels = [arrays(table[column], rows) for column in columns]
    for values in zip(*channels, strict=True):
        given = {column: value for column, value in zip(columns, values, strict=True) if value is not None}
        yield given or None


def whole(column: pl.Series, where: str, folder: Path, rows: Rows) -> Iterator[Any]:
    """All channels of each series, from one column."""
    if depth(column.dtype) in (1, 2):
        yield from arrays(column, rows)
        return
    if column.dtype not in (pl.String, pl.Binary, pl.Null):
        raise TableError(
            f"{where}: holds {type_name(column)}; lists of numbers are taken, and paths or the bytes of "
            ".npy, .wav or .csv files"
        )
    for row, value in zip(rows, column[rows], strict=True):
        if isinstance(value, str) and value.lstrip().startswith("["):
            value = value.encode()  # a list as CSV spells it
        yield file_bytes(value, folder, f"row {row + 1}: {where}")


def depth(dtype: pl.DataType) -> int:
    """How many lists deep numbers lie; 0 for anything that is not lists of numbers."""
    levels = 0
    while isinstance(dtype, pl.List | pl.Array):
        dtype, levels = pl.Series([], dtype=dtype.inner).dtype, levels + 1
    return levels if dtype.is_numeric() or dtype == pl.Null else 0


def arrays(column: pl.Series, rows: Rows) -> Iterator[NDArray[np.float64] | list[Any] | None]:
    """Lists of numbers as arrays, nulls as NaN; what is not rectangular stays lists."""
    if column.dtype == pl.Null:
        yield from [None] * len(rows)
        return
    numbers: pl.DataType = pl.Float64()
    for _ in range(depth(column.dtype)):
        numbers = pl.List(numbers)
    for value in column[rows].cast(numbers):
        if value is None or value.dtype == pl.Float64:
            yield None if value is None else value.to_numpy()
        elif value.null_count() or value.list.len().n_unique() != 1:
            yield value.to_list()
        else:
            yield value.explode().to_numpy().reshape(len(value), -1)


def file_bytes(value: str | bytes | None, folder: Path, where: str) -> bytes | None:
    """The bytes themselves, or those of the file at a path; None where nothing is. Raises TableError."""
    if not isinstance(value, str):
        return value or None
    try:
        return (folder / value).read_bytes() or None
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "not a path"
        raise TableError(f"{where}: {value:.80}: {why.lower()}") from None


def origin(table: pl.DataFrame, column: str, row: int) -> str:
    """The column that a file's bytes came from, and its path if it has one, for a message."""
    value = table[column][row]
    return f", column '{column}'" + (f" ({value})" if isinstance(value, str) else "")
