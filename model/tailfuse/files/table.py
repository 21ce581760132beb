"""Tables: read from CSV or Parquet, their columns named and typed.

Missing is null, whatever the file calls it. Rows in messages are counted from 1.
"""

import csv
import fnmatch
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from tailfuse.errors import TableError
from tailfuse.files.long_cells import long_cells
from tailfuse.spelling import did_you_mean

NULLS = ["", "NA", "N/A", "NaN", "nan", "null", "NULL"]
LEADING_ZERO = r"^[-+]?0\d"  # a code rather than a number
BOOLEANS = {"true": True, "false": False, "1": True, "0": False}

ColumnType = Literal["number", "boolean", "category"]
Rows = NDArray[np.int64]  # indices into a table, from 0


def read_table(path: Path, strings: Collection[str] = ()) -> pl.DataFrame:
    """Read a .csv or .parquet. NaN and "" are null; categoricals are strings. Raises TableError.

    In a .csv the columns in `strings`, where it has them, are strings whatever they look like.
    """
    if path.suffix.lower() not in (".csv", ".parquet"):
        raise TableError(f"{path}: a table is a .csv or a .parquet file")
    if not path.is_file():
        raise TableError(f"{path}: no such file")
    try:
        if path.suffix.lower() == ".csv":
            table = read_csv(path, strings)
        else:
            table = pl.read_parquet(path, glob=False)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise TableError(f"{path}: cannot be read: {(str(error) or 'not a table').splitlines()[0]}") from None
    if not len(table):
        raise TableError(f"{path}: the table has no rows")
    return table.with_columns(normalise_nulls(table[column]) for column in table.columns)


def read_csv(path: Path, strings: Collection[str]) -> pl.DataFrame:
    """Codes such as 001 stay strings, as do the columns named in `strings`. Raises TableError."""
    header, blank = check_csv(path)
    text = pl.scan_csv(path, infer_schema=False, null_values=NULLS, glob=False)
    codes = text.select(pl.all().str.contains(LEADING_ZERO).any()).collect()
    # polars leaves doubled quotes in the names of columns: its own name here, the header's in the end.
    kept = [
        column.name for column, name in zip(codes, header, strict=False) if column.any() or name in strings
    ]
    table = pl.read_csv(
        path,
        infer_schema_length=None,
        null_values=NULLS,
        glob=False,
        schema_overrides=dict.fromkeys(kept, pl.String),
    )
    table.columns = header
    return table.filter(~pl.int_range(pl.len()).is_in(blank)) if blank else table


def check_csv(path: Path) -> tuple[list[str], list[int]]:
    """The header, and the blank lines as rows from 0, which polars would take for missing values.

    polars says neither which line is bad nor which column is there twice. Raises TableError.
    """
    blank = []
    with long_cells(), path.open(encoding="utf-8-sig", newline="") as file:
        lines = csv.reader(file)
        try:
            header = next((values for values in lines if values), [])
            check_header(header, f"{path}: line {lines.line_num}")
            for row, values in enumerate(lines):
                if not values and len(header) > 1:
                    blank.append(row)
                elif len(values) != len(header):
                    raise TableError(
                        f"{path}: line {lines.line_num}: {len(values)} values, {len(header)} columns"
                    )
        except csv.Error as error:
            raise TableError(f"{path}: line {lines.line_num}: {error}") from None
        except UnicodeDecodeError:
            raise TableError(f"{path}: is not UTF-8 text") from None
    return header, blank


def check_header(header: Sequence[str], where: str) -> None:
    """Raises TableError if a column is there twice, or if the values are not separated by commas."""
    twice = next((name for name in header if header.count(name) > 1), None)
    if twice is not None:
        raise TableError(f"{where}: column '{twice}' is there twice")
    for separator, name in ((";", "';'"), ("\t", "a tab")):
        if len(header) == 1 and separator in header[0]:
            raise TableError(f"{where}: values are separated by {name}; a comma is taken")


def normalise_nulls(series: pl.Series) -> pl.Series:
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


def match_columns(table: pl.DataFrame, patterns: Sequence[str], key: str) -> list[str]:
    """Return the columns that match names or patterns such as "rna_*", in the table's order.

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
        return category(values)
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


def category(values: pl.Series) -> pl.Series:
    """Any values as strings."""
    strings = values.cast(pl.String)
    if not values.dtype.is_float():
        return strings
    # Whole numbers become float when one of them is missing: category 3 must stay "3".
    whole = values.cast(pl.Int64, strict=False)
    is_whole = (whole.cast(pl.Float64) == values).fill_null(False)
    return whole.cast(pl.String).zip_with(is_whole, strings)


def type_name(series: pl.Series) -> str:
    """A column's type in one word, for a message."""
    return str(series.dtype.base_type()).lower()


def place(modality: str, column: str) -> str:
    """A modality's column, for a message."""
    return f"modality '{modality}', column '{column}'"


def check_some_value(values: pl.Series, modality: str) -> None:
    """Raises TableError if every value is missing."""
    if values.null_count() == len(values):
        raise TableError(f"{place(modality, values.name)}: missing in every training row")
