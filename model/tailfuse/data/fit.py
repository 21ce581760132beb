"""Fitting: what a modality's features must know of the training rows, and of these alone."""

import io
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
from PIL import Image
from tailfuse_service.modalities import ImageModality, Modality, TabularModality, TextModality
from tailfuse_service.modalities.tabular import (
    BooleanColumn,
    CategoryColumn,
    Column,
    NumberColumn,
    count_slots,
)

from tailfuse.data.fit_series import fit_series
from tailfuse.data.raw import pictures
from tailfuse.data.table import LEADING_ZERO, ColumnType, Rows, columns_of, place, typed
from tailfuse.errors import TableError
from tailfuse.spec.schema import ImageSpec, ModalitySpec, SeriesSpec, TabularSpec, TextSpec
from tailfuse.spec.spelling import did_you_mean

MAX_CATEGORIES = 255
SAMPLED_PICTURES = 200
log = logging.getLogger("tailfuse")
GREY_MODES = ("1", "L", "LA", "I", "I;16", "I;16B", "I;16L", "I;16N", "F")


def fit_modality(name: str, spec: ModalitySpec, table: pl.DataFrame, rows: Rows, folder: Path) -> Modality:
    """Fit the modality `name` on the training `rows` of a table whose files lie in `folder`.

    Raises TableError.
    """
    key = f"modalities.{name}"
    if isinstance(spec, ImageSpec):
        if spec.column not in table.columns:
            hint = did_you_mean(spec.column, table.columns)
            raise TableError(f"{key}.column: the table has no column '{spec.column}'{hint}")
        return fit_image(name, spec, table, rows, folder)
    columns = columns_of(table, spec.columns, f"{key}.columns")
    if isinstance(spec, TextSpec):
        return fit_text(name, spec, columns, table, rows)
    if isinstance(spec, SeriesSpec):
        return fit_series(name, columns, spec.length, table, rows, folder)
    return fit_tabular(name, spec, columns, table, rows)


def fit_image(name: str, spec: ImageSpec, table: pl.DataFrame, rows: Rows, folder: Path) -> ImageModality:
    """Grey if a sample of the pictures is, judged by their headers."""
    column = spec.column
    check_some_value(table[column][rows], name)
    present = rows[table[column][rows].is_not_null().to_numpy()]
    sampled = present[np.linspace(0, len(present) - 1, min(len(present), SAMPLED_PICTURES)).astype(int)]
    grey = all(is_grey(data) for data in pictures(table, name, column, folder, sampled) if data)
    height, width = spec.size
    return ImageModality(column=column, height=height, width=width, channels=1 if grey else 3)


def is_grey(data: bytes) -> bool:
    """Whether a picture's header says so. One that cannot be read has no vote: decoding will name its row."""
    try:
        with Image.open(io.BytesIO(data)) as picture:
            return picture.mode in GREY_MODES
    except Exception:  # decoders raise whatever they like
        return True


def fit_text(
    name: str, spec: TextSpec, columns: Sequence[str], table: pl.DataFrame, rows: Rows
) -> TextModality:
    """The columns of a text; nothing of it is learnt from the rows."""
    for column in columns:
        check_some_value(typed(table[column], "category", place(name, column), rows), name)
    return TextModality(
        columns=tuple(columns), buckets=spec.buckets, ngrams=spec.ngrams, max_tokens=spec.max_tokens
    )


def fit_tabular(
    name: str, spec: TabularSpec, columns: Sequence[str], table: pl.DataFrame, rows: Rows
) -> TabularModality:
    """Types, means, scales and categories of the columns. Raises TableError."""
    for column in spec.types:
        if column not in columns:
            hint = did_you_mean(column, columns)
            raise TableError(f"modalities.{name}.types: '{column}' is not among the modality's columns{hint}")
    fitted = []
    for column in columns:
        to = spec.types.get(column) or type_of(table[column])
        if column not in spec.types and (odd := odd_value(table[column])):
            log.warning("column '%s': %s; it is read as a category", column, odd)
        fitted.append(fit_column(typed(table[column], to, place(name, column), rows), name))
    return TabularModality(columns=tuple(fitted), width=sum(count_slots(column) for column in fitted))


def type_of(series: pl.Series) -> ColumnType:
    """What a column's values are, unless the spec says otherwise."""
    if series.dtype == pl.Boolean:
        return "boolean"
    return "number" if series.dtype.is_numeric() else "category"


def odd_value(series: pl.Series) -> str | None:
    """Names the first string that is no number, in a column where most are; codes such as 001 are none."""
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


def check_some_value(values: pl.Series, modality: str) -> None:
    """Raises TableError if every value is missing."""
    if values.null_count() == len(values):
        raise TableError(f"{place(modality, values.name)}: missing in every training row")
