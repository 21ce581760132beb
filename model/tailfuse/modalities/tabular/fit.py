"""Tabular modalities are fitted: types, formats, means, scales and categories of their columns."""

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
from tailfuse.files.cells import ColumnType, Unreadable, type_cells
from tailfuse.files.infer import InferredColumn, find_doubtful, infer_column, infer_format
from tailfuse.files.reading import Reading
from tailfuse.files.table import Rows, check_some_value, place
from tailfuse.modalities.tabular.arrays import take_logarithms
from tailfuse.modalities.tabular.skew import choose_log_unit
from tailfuse.spelling import did_you_mean

MIN_CATEGORIES = 255  # kept in a column, however long the table
MAX_CATEGORIES = 4096  # kept in a column, however short the table
MAX_BYTES = 1 << 30  # of the categories' slots of all rows, in float32
MAX_BUCKETS = 256  # which the other categories share
log = logging.getLogger("tailfuse")


def fit_columns(
    name: str,
    columns: Sequence[str],
    types: Mapping[str, ColumnType],
    table: pl.DataFrame,
    rows: Rows,
    reading: Reading,
    unreadable: Unreadable = "stop",
) -> TabularModality:
    """Fit the columns on the training `rows`; `types` overrides what is inferred from all rows.

    A column whose type was a close call is warned of. Raises TableError.
    """
    for column in types:
        if column not in columns:
            hint = did_you_mean(column, columns)
            raise TableError(f"modalities.{name}.types: '{column}' is not among the modality's columns{hint}")
    inferred = {
        column: read_type(table[column], types.get(column), place(name, column), reading, unreadable)
        for column in columns
    }
    if reading.decimal is None:
        for error in find_doubtful(table, inferred).values():
            raise error
    n_categorical = sum(each.type == "category" for each in inferred.values())
    kept = min(MAX_CATEGORIES, MAX_BYTES // (4 * len(table) * max(1, n_categorical)))
    fitted = []
    for column, each in inferred.items():
        values = type_cells(table[column], each.type, place(name, column), rows, each.style, unreadable)
        fitted.append(fit_column(values, name, each, max(MIN_CATEGORIES, kept)))
    return TabularModality(
        columns=tuple(fitted),
        width=sum(count_slots(column) for column in fitted),
        missing=reading.missing,
        unreadable=unreadable,
    )


def read_type(
    series: pl.Series, given: ColumnType | None, where: str, reading: Reading, unreadable: Unreadable
) -> InferredColumn:
    """Return what a column holds, as the spec says or else as its cells do. Raises TableError.

    In a column of numbers a cell that is none stops training, unless the spec has it taken as missing.
    """
    if given in ("boolean", "category"):
        return InferredColumn(given)
    if given == "number":
        return InferredColumn(given, infer_format(series, reading.decimal))
    inferred = infer_column(series, reading.decimal)
    if inferred.odd_row is not None and unreadable == "stop":
        raise TableError(
            f"{where}: {inferred.note}; correct it, list it under `missing:`, take such cells as missing by "
            f"`unreadable: missing`, or say `types: {{{series.name}: category}}`"
        )
    if inferred.note:
        log.warning("%s: read as a %s: %s", where, inferred.type, inferred.note)
    return inferred


def fit_column(values: pl.Series, modality: str, inferred: InferredColumn, kept: int) -> Column:
    """Fit one column on its typed training values; at most `kept` categories have a slot of their own."""
    check_some_value(values, modality)
    present = values.drop_nulls()
    if values.dtype == pl.Boolean:
        return BooleanColumn(name=values.name)
    if values.dtype == pl.String:
        return fit_categories(present, modality, kept)
    log_unit = choose_log_unit(present.to_numpy())
    numbers = take_logarithms(present, log_unit).to_numpy()
    with np.errstate(over="ignore", invalid="ignore"):
        mean, scale = float(numbers.mean()), float(numbers.std())
    if not (np.isfinite(mean) and np.isfinite(scale)):
        raise TableError(f"{place(modality, values.name)}: the numbers are too large to scale")
    # By count of values: the standard deviation of a constant is not always exactly 0.
    scale = scale if present.n_unique() > 1 and scale > 0 else 1.0
    indicator = len(present) < len(values)
    return NumberColumn(
        name=values.name, mean=mean, scale=scale, indicator=indicator, format=inferred.style,
        log_unit=log_unit,
    )  # fmt: skip


def fit_categories(present: pl.Series, modality: str, kept: int) -> CategoryColumn:
    """Give the most frequent categories a slot each, and buckets to the others, with a warning."""
    counts = present.alias("category").value_counts().sort("count", "category", descending=[True, False])
    categories = tuple(counts["category"].head(kept))
    n_others = len(counts) - len(categories)
    if n_others:
        log.warning(
            "%s: %s categories; the most frequent %s have a slot each, the others share %s",
            place(modality, present.name), f"{len(counts):,}", f"{kept:,}", min(n_others, MAX_BUCKETS),
        )  # fmt: skip
    return CategoryColumn(name=present.name, categories=categories, buckets=min(n_others, MAX_BUCKETS))
