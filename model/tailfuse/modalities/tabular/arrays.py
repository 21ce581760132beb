"""Tabular rows as one array, column by column: equal to `TabularFeatures.apply` of each row."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from tailfuse_service.modalities import TabularModality
from tailfuse_service.modalities.tabular import BooleanColumn, CategoryColumn, NumberColumn, count_slots
from tailfuse_service.modalities.tabular.features import MAX_SCALED, UNSEEN, TabularFeatures

from tailfuse.errors import TableError
from tailfuse.files.table import Rows, place


def make_rows(
    name: str, modality: TabularModality, cells: Sequence[pl.Series], rows: Rows
) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Return (n, width) float32 of the rows with a value, and each row's position in it, -1 if it has none.

    `cells` are the typed cells of each column at `rows`. Raises TableError.
    """
    array = np.zeros((len(rows), modality.width), np.float32)
    present = np.zeros(len(rows), np.bool_)
    features = modality.features(name)
    at = 0
    for column, values in zip(modality.columns, cells, strict=True):
        has_value = values.is_not_null().to_numpy()
        present |= has_value
        if isinstance(column, NumberColumn):
            scaled = (values.fill_null(column.mean).to_numpy() - column.mean) / column.scale
            if (too_large := np.abs(scaled) > MAX_SCALED).any():
                bad = int(too_large.argmax())
                where = f"row {rows[bad] + 1}: {place(name, column.name)}"
                raise TableError(f"{where}: expected a finite number, not {values[bad]!r}")
            array[:, at] = scaled
            if column.indicator:
                array[:, at + 1] = ~has_value
        elif isinstance(column, BooleanColumn):
            array[:, at] = np.where(has_value, np.where(values.fill_null(False).to_numpy(), 1, -1), 0)
        else:
            fill_categories(array[:, at : at + count_slots(column)], features, column, values)
        at += count_slots(column)
    position = np.where(present, np.cumsum(present) - 1, -1)
    return (array if present.all() else array[present]), position


def fill_categories(
    slots: NDArray[np.float32], features: TabularFeatures, column: CategoryColumn, values: pl.Series
) -> None:
    """Set each row's category to 1. An unseen one, without buckets, leaves the row's slots 0."""
    found = {text: features.find_slot(column, text) for text in values.unique().drop_nulls()}
    slot = values.replace_strict(found, default=UNSEEN, return_dtype=pl.Int64).fill_null(UNSEEN).to_numpy()
    known = np.flatnonzero(slot != UNSEEN)
    slots[known, slot[known]] = 1.0
