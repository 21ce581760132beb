"""Whatever rows come in as one table, and frames of the same library to give back.

pandas is never imported here: frames of pandas are recognised by their module.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from tailfuse.api.cells import make_column
from tailfuse.errors import TableError
from tailfuse.files.reading import DEFAULT_READING, Reading
from tailfuse.files.table import normalise, read_table


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of a user. `source` is the file that they come from, if any; paths are relative to `folder`."""

    table: pl.DataFrame
    folder: Path = Path()
    source: Path | None = None
    pandas_index: Any = None
    by_position: bool = False  # columns without names

    def give_back(self, frame: pl.DataFrame) -> Any:
        """Return a frame in the library that the rows came in: pandas for pandas, else polars."""
        return frame if self.pandas_index is None else to_pandas(frame, self.pandas_index)


def read_rows(
    X: Any,
    reading: Reading = DEFAULT_READING,
    kinds: Mapping[str, str] | None = None,
    names: Sequence[str] | None = None,
) -> Rows:
    """Return rows as a table with one spelling of missing.

    X is a frame of pandas or polars, an Arrow table, columns by name, a list of rows by name, an array, or
    the path of a file. `kinds` are those of the modalities that read the columns, `names` those of an array's
    columns. Raises TableError, TypeError.
    """
    if isinstance(X, str | Path):
        path = Path(X)
        return Rows(read_table(path, reading), path.parent, path)
    rows = make_rows(X, kinds or {}, names)
    if not rows.table.width:
        n_rows = np.shape(X)[0] if hasattr(X, "shape") else 0
        raise TableError(f"X has 0 feature(s) (shape=({n_rows}, 0)) while a minimum of 1 is required.")
    if not len(rows.table):
        raise TableError("X has no rows: 0 sample(s) while a minimum of 1 is required")
    return replace(rows, table=normalise(rows.table.lazy(), reading.missing).collect())


def make_rows(X: Any, kinds: Mapping[str, str], names: Sequence[str] | None) -> Rows:
    """Return what is in memory as a table, as it is. Raises TableError, TypeError."""
    if is_sparse(X):
        raise TypeError("X is a sparse matrix, and sparse data is not supported; convert it: X.toarray()")
    if isinstance(X, pl.LazyFrame):
        X = X.collect()
    if isinstance(X, pl.DataFrame):
        return Rows(encode_objects(X, kinds))
    if is_pandas(X):
        columns = {column: to_values(X.iloc[:, at]) for at, column in enumerate(X.columns)}
        if len(columns) < X.shape[1]:
            raise TableError("two columns of X have the same name")
        return Rows(make_table(columns, kinds), pandas_index=X.index)
    if isinstance(X, Mapping):
        return Rows(make_table(X, kinds))
    if isinstance(X, list) and any(isinstance(row, Mapping) for row in X):
        return Rows(make_table(split_mappings(X), kinds))
    if hasattr(X, "__arrow_c_stream__") and not hasattr(X, "to_numpy"):
        return Rows(read_arrow(X))
    return Rows(make_table(split_array(X, names), kinds), by_position=True)


def split_mappings(X: Sequence[Any]) -> dict[Any, list[Any]]:
    """Return the columns of rows that are mappings; what a row lacks is missing. Raises TableError."""
    for number, row in enumerate(X, start=1):
        if not isinstance(row, Mapping):
            raise TableError(f"row {number} of X is {row!r:.40}; expected a mapping from column to value")
    names = dict.fromkeys(name for row in X for name in row)
    return {name: [row.get(name) for row in X] for name in names}


def read_arrow(X: Any) -> pl.DataFrame:
    """Return an Arrow table of any library. Raises TableError."""
    try:
        return pl.DataFrame(X)
    except pl.exceptions.DuplicateError:
        raise TableError("two columns of X have the same name") from None
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:  # a panic is no Exception
        raise TableError(
            "X has a column of an Arrow type that cannot be read; cast it, for example decimal256 to "
            f"decimal128 or float64: {error}"
        ) from None


def make_table(columns: Mapping[Any, Any], kinds: Mapping[str, str]) -> pl.DataFrame:
    """Return columns by name as a table. Raises TableError."""
    made: dict[str, pl.Series] = {}
    for name, values in columns.items():
        if str(name) in made:
            raise TableError(f"two columns of X have the name '{name}'")
        if isinstance(values, str | bytes) or not hasattr(values, "__len__"):
            raise TableError(f"column '{name}' is one value, {values!r:.40}; expected a list of values")
        made[str(name)] = make_column(str(name), values, kinds.get(str(name)))
    lengths = {name: len(series) for name, series in made.items()}
    if len(set(lengths.values())) > 1:
        counts = ", ".join(f"'{name}' {length:,}" for name, length in list(lengths.items())[:10])
        raise TableError(f"the columns of X have different numbers of rows: {counts}")
    return pl.DataFrame(list(made.values()))


def encode_objects(table: pl.DataFrame, kinds: Mapping[str, str]) -> pl.DataFrame:
    """Return a table whose columns of Python objects, such as images, are bytes or lists."""
    made = [
        make_column(each.name, each.to_list(), kinds.get(each.name))
        for each in table
        if each.dtype == pl.Object
    ]
    return table.with_columns(made)


def split_array(X: Any, names: Sequence[str] | None) -> dict[str, Any]:
    """Return the columns of an array (rows, columns), called x0, x1, … if they have no names.

    Raises ValueError, TypeError.
    """
    array = to_array(X)
    if array.dtype.kind == "c":
        raise ValueError("Complex data not supported: X holds complex numbers")
    if array.dtype.names:
        return {name: array[name] for name in array.dtype.names}
    if array.ndim != 2:
        held = f"{array.ndim}D array" if array.ndim else "scalar array"
        raise ValueError(
            f"Expected 2D array, got {held} instead. Reshape your data to rows and columns, for one row by "
            "X.reshape(1, -1)"
        )
    if names is not None and len(names) != array.shape[1]:
        raise ValueError(
            f"X has {array.shape[1]} features, but tailfuse is expecting {len(names)} features as input"
        )
    names = name_columns(array.shape[1]) if names is None else names
    return {name: array[:, at] for at, name in enumerate(names)}


def to_array(X: Any) -> np.ndarray[Any, Any]:
    """Return values as an array; a masked array, or a list of masked rows, keeps its mask."""
    rows = X if isinstance(X, list | tuple) else (X,)
    is_masked = any(isinstance(row, np.ma.MaskedArray) for row in rows)
    return np.ma.asarray(X) if is_masked else np.asarray(X)


def name_columns(count: int) -> list[str]:
    """Name columns that have no names.

    >>> name_columns(2)
    ['x0', 'x1']
    """
    return [f"x{at}" for at in range(count)]


def is_pandas(X: Any) -> bool:
    """Return whether X is a frame of pandas."""
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(X, pandas.DataFrame)


def is_sparse(X: Any) -> bool:
    """Return whether X is a sparse matrix or array of SciPy."""
    return type(X).__module__.startswith("scipy.sparse")


def to_values(series: Any) -> Any:
    """Return a column of pandas as NumPy's numbers, or as Python values."""
    dtype = series.dtype
    if isinstance(dtype, np.dtype) and dtype.kind in "biuf":
        return series.to_numpy()
    if isinstance(dtype, np.dtype) and dtype.kind == "M":
        return pl.Series("", series.to_numpy())
    return series.astype(object).to_numpy()


def to_pandas(frame: pl.DataFrame, index: Any = None) -> Any:
    """Return a frame of pandas, which the user has imported."""
    pandas = sys.modules["pandas"]
    return pandas.DataFrame({series.name: to_pandas_values(series) for series in frame}, index=index)


def to_pandas_values(series: pl.Series) -> Any:
    """Return a column for pandas: numbers with NaN, other values with None."""
    if series.dtype.is_float():
        return series.fill_null(float("nan")).to_numpy()
    return series.to_numpy() if series.dtype.is_integer() and not series.null_count() else series.to_list()
