"""Tabular modalities are fitted: types, means, scales and categories of their columns."""

import logging
from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl
from tailfuse_service.modalities import TabularModality
from tailfuse_service.modalities.tabular import (
    BooleanColumn,
    CategoryColumn,
    Column,
    NumberColumn,
    count_slots,
)

from tailfuse.errors import TableError
from tailfuse.files.table import LEADING_ZERO, ColumnType, Rows, check_some_value, place, typed
from tailfuse.spelling import did_you_mean

MAX_CATEGORIES = 255
log = logging.getLogger("tailfuse")


def fit_columns(
    name: str, columns: Sequence[str], types: Mapping[str, ColumnType], table: pl.DataFrame, rows: Rows
) -> TabularModality:
    """Fit the columns on the training `rows`; `types` overrules what is inferred. Raises TableError."""
    for column in types:
        if column not in columns:
            hint = did_you_mean(column, columns)
            raise TableError(f"modalities.{name}.types: '{column}' is not among the modality's columns{hint}")
    fitted = []
    for column in columns:
        to = types.get(column) or infer_type(table[column])
        if column not in types and (odd := describe_odd_value(table[column])):
            log.warning("column '%s': %s; it is read as a category", column, odd)
        fitted.append(fit_column(typed(table[column], to, place(name, column), rows), name))
    return TabularModality(columns=tuple(fitted), width=sum(count_slots(column) for column in fitted))


def infer_type(series: pl.Series) -> ColumnType:
    """Infer the type of a column's values."""
    if series.dtype == pl.Boolean:
        return "boolean"
    return "number" if series.dtype.is_numeric() else "category"


def describe_odd_value(series: pl.Series) -> str | None:
    """Describe the first string that is no number, in a column where most are; codes such as 001 are none."""
    if series.dtype != pl.String or series.str.contains(LEADING_ZERO).any():
        return None
    total, numbers = series.count(), series.cast(pl.Float64, strict=False)
    odd = series.is_not_null() & numbers.is_null()
    if not odd.any() or numbers.count() * 2 <= total:
        return None
    at = int(odd.arg_max() or 0)
    return f"{numbers.count():,} of {total:,} values are numbers, but row {at + 1} is {series[at]!r:.40}"


def fit_column(values: pl.Series, modality: str) -> Column:
    """Fit one column on its typed training values."""
    check_some_value(values, modality)
    present = values.drop_nulls()
    if values.dtype == pl.Boolean:
        return BooleanColumn(name=values.name)
    if values.dtype == pl.String:
        counts = present.alias("category").value_counts().sort("count", "category", descending=[True, False])
        return CategoryColumn(name=values.name, categories=tuple(counts["category"].head(MAX_CATEGORIES)))
    numbers = present.to_numpy()
    with np.errstate(over="ignore", invalid="ignore"):
        mean, scale = float(numbers.mean()), float(numbers.std())
    if not (np.isfinite(mean) and np.isfinite(scale)):
        raise TableError(f"{place(modality, values.name)}: the numbers are too large to scale")
    # By count of values: the standard deviation of a constant is not always exactly 0.
    scale = scale if present.n_unique() > 1 and scale > 0 else 1.0
    return NumberColumn(name=values.name, mean=mean, scale=scale, indicator=len(present) < len(values))
