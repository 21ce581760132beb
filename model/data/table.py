"""Tables: read from CSV or Parquet, and handed out as the raw values that features take.

Missing is null, whatever the file calls it. Rows in messages are counted from 1.
"""

import csv
import fnmatch
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from model.errors import TableError
from model.spec.spelling import did_you_mean
from service.bundle.manifest import Modality

NULLS = ["", "NA", "N/A", "NaN", "nan", "null", "NULL"]
BOOLEANS = {"true": True, "false": False, "1": True, "0": False}

ColumnType = Literal["number", "boolean", "category"]
Rows = NDArray[np.int64]  # indices into a table, from 0


def read_table(path: Path) -> pl.DataFrame:
    """Read a .csv or .parquet. NaN and "" are null; categoricals are strings. Raises TableError."""
    if path.suffix.lower() not in (".csv", ".parquet"):
        raise TableError(f"{path}: a table is a .csv or a .parquet file")
    if not path.is_file():
        raise TableError(f"{path}: no such file")
    try:
        if path.suffix.lower() == ".csv":
            check_csv(path)
            table = pl.read_csv(path, infer_schema_length=None, null_values=NULLS, glob=False)
        else:
            table = pl.read_parquet(path, glob=False)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise TableError(f"{path}: cannot be read: {(str(error) or 'not a table').splitlines()[0]}") from None
    if not len(table):
        raise TableError(f"{path}: the table has no rows")
    return table.with_columns(plain(table[column]) for column in table.columns)


def check_csv(path: Path) -> None:
    """polars says neither which line is bad nor which column is there twice. Raises TableError."""
    csv.field_size_limit(sys.maxsize)
    with path.open(encoding="utf-8-sig", newline="") as file:
        lines = csv.reader(file)
        try:
            header = next(lines, [])
            twice = next((name for name in header if header.count(name) > 1), None)
            if twice is not None:
                raise TableError(f"{path}: line 1: column '{twice}' is there twice")
            for values in lines:
                if len(values) != len(header):
                    raise TableError(
                        f"{path}: line {lines.line_num}: {len(values)} values, {len(header)} columns"
                    )
        except csv.Error as error:
            raise TableError(f"{path}: line {lines.line_num}: {error}") from None
        except UnicodeDecodeError:
            raise TableError(f"{path}: after line {lines.line_num}: not UTF-8 text") from None


def plain(series: pl.Series) -> pl.Series:
    """The same values with one spelling of missing, and fewer types."""
    if series.dtype.is_decimal():
        series = series.cast(pl.Float64)
    if series.dtype in (pl.Categorical, pl.Enum):
        series = series.cast(pl.String)
    if series.dtype.is_float():
        return series.fill_nan(None)
    if series.dtype == pl.String:
        return series.replace("", None)
    return series


def columns_of(table: pl.DataFrame, patterns: Sequence[str], key: str) -> list[str]:
    """The columns that names or patterns such as "rna_*" mean, in the table's order.

    Raises TableError that names the spec's `key`.
    """
    wanted: set[str] = set()
    for pattern in patterns:
        found = {pattern} & set(table.columns)  # a name may itself hold a bracket
        found = found or {name for name in table.columns if fnmatch.fnmatchcase(name, pattern)}
        if not found:
            what = "no column matches" if set(pattern) & set("*?[") else "the table has no column"
            raise TableError(f"{key}: {what} '{pattern}'{did_you_mean(pattern, table.columns)}")
        wanted |= found
    return [column for column in table.columns if column in wanted]


def typed(series: pl.Series, to: ColumnType, where: str, rows: Rows) -> pl.Series:
    """The values at `rows` as Float64, Boolean or String. Raises TableError with `where` and the row."""
    if series.dtype.is_nested() or series.dtype.is_temporal() or series.dtype in (pl.Binary, pl.Object):
        raise TableError(
            f"{where}: holds {type_name(series)}; a column of numbers, booleans or strings is taken"
        )
    values = series[rows]
    if to == "category":
        whole = values.dtype.is_float() and bool((values.drop_nulls() % 1 == 0).all())
        # A column of whole numbers becomes float when one is missing: category 3 must stay "3".
        return values.cast(pl.Int64, strict=False).cast(pl.String) if whole else values.cast(pl.String)
    if to == "number":
        converted = values.cast(pl.Float64, strict=False)
        bad = converted.is_infinite() | converted.is_nan()
    else:
        spelt = values.cast(pl.Int64, strict=False) if values.dtype.is_float() else values
        spelt = spelt.cast(pl.String).str.to_lowercase()
        converted = spelt.replace_strict(BOOLEANS, default=None, return_dtype=pl.Boolean)
        bad = pl.Series([False]).new_from_index(0, len(values))
    bad = bad.fill_null(False) | (converted.is_null() & values.is_not_null())
    if bad.any():
        at = int(bad.arg_max() or 0)
        expected = "a finite number" if to == "number" else "true or false"
        raise TableError(f"row {rows[at] + 1}: {where}: expected {expected}, not {values[at]!r:.40}")
    return converted


def type_name(series: pl.Series) -> str:
    """A column's type in one word, for a message."""
    return str(series.dtype.base_type()).lower()


def place(modality: str, column: str) -> str:
    """A modality's column, for a message."""
    return f"modality '{modality}', column '{column}'"


def raw_values(table: pl.DataFrame, name: str, modality: Modality, folder: Path, rows: Rows) -> Iterator[Any]:
    """The raw value of a modality at each of `rows`, as `Features.apply` takes it; None where it is missing.

    Paths of pictures are relative to `folder`. Raises TableError that names modality, column and row.
    """
    if modality.kind == "image":
        yield from pictures(table, name, modality.column, folder, rows)
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
        if isinstance(value, str):
            try:
                value = (folder / value).read_bytes()
            except (OSError, ValueError) as error:
                why = getattr(error, "strerror", None) or "not a path"
                raise TableError(f"row {row + 1}: {where}: {value:.80}: {why.lower()}") from None
        yield value or None
