"""Tabular rows as one array, column by column: equal to `TabularFeatures.apply` of each row."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from tailfuse_service.modalities import TabularModality
from tailfuse_service.modalities.tabular import BooleanColumn, CategoryColumn, NumberColumn, count_slots
from tailfuse_service.modalities.tabular.features import MAX_SCALED, UNSEEN, TabularFeatures

from tailfuse.files.cells import Unreadable, report_cells
from tailfuse.files.table import Rows, place


def make_rows(
    name: str,
    modality: TabularModality,
    cells: Sequence[pl.Series],
    rows: Rows,
    errors: dict[int, str] | None = None,
) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Return (n, width) float32 of the rows with a value, and each row's position in it, -1 if it has none.

    `cells` are the typed cells of each column at `rows`. A number beyond float32 is told in `errors`, by its
    row; without `errors` it raises TableError.
    """
    array = np.zeros((len(rows), modality.width), np.float32)
    present = np.zeros(len(rows), np.bool_)
    features = modality.features(name)
    at = 0
    for column, values in zip(modality.columns, cells, strict=True):
        if isinstance(column, NumberColumn):
            values = scale_numbers(values, column, name, rows, modality.unreadable, errors)
        has_value = values.is_not_null().to_numpy()
        present |= has_value
        if isinstance(column, NumberColumn):
            array[:, at] = values.fill_null(0.0).to_numpy()
            if column.indicator:
                array[:, at + 1] = ~has_value
        elif isinstance(column, BooleanColumn):
            array[:, at] = np.where(has_value, np.where(values.fill_null(False).to_numpy(), 1, -1), 0)
        else:
            fill_categories(array[:, at : at + count_slots(column)], features, column, values)
        at += count_slots(column)
    position = np.where(present, np.cumsum(present) - 1, -1)
    return (array if present.all() else array[present]), position


def scale_numbers(
    values: pl.Series, column: NumberColumn, modality: str, rows: Rows, unreadable: Unreadable,
    errors: dict[int, str] | None,
) -> pl.Series:  # fmt: skip
    """Return the standardised numbers. One beyond float32 is missing, or an error. Raises TableError."""
    scaled = (take_logarithms(values, column.log_unit) - column.mean) / column.scale
    too_large = (scaled.abs() > MAX_SCALED).fill_null(False)
    if unreadable == "stop":
        where = place(modality, column.name)
        report_cells(too_large, values, f"{where}: expected a finite number", rows, errors)
    return scaled.set(too_large, None) if too_large.any() else scaled


def take_logarithms(values: pl.Series, unit: float | None) -> pl.Series:
    """Return asinh(value / unit), or the values as they are without a unit.

    By the standard library, as in serving: the last digit of NumPy's asinh depends on the processor.
    """
    if unit is None:
        return values
    logarithms = [None if value is None else math.asinh(value / unit) for value in values.to_list()]
    return pl.Series(values.name, logarithms, pl.Float64)


def fill_categories(
    slots: NDArray[np.float32], features: TabularFeatures, column: CategoryColumn, values: pl.Series
) -> None:
    """Set each row's category to 1. An unseen one, without buckets, leaves the row's slots 0."""
    texts = values.unique().drop_nulls().to_list()
    each = [features.find_slot(column, text) for text in texts]
    found = np.array([UNSEEN if slot is None else slot for slot in (*each, None)], np.int64)
    # An Enum's numbers are the positions of its texts; that of a missing one is the last, UNSEEN.
    at = values.cast(pl.Enum(texts)).to_physical().cast(pl.Int64).fill_null(len(texts)).to_numpy()
    slot = found[at]
    known = np.flatnonzero(slot != UNSEEN)
    slots[known, slot[known]] = 1.0
