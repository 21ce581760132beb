"""The columns of a tabular modality as the manifest describes them, and the slots that each takes."""

import math
import zlib
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from tailfuse_service.modalities.modality import Frozen
from tailfuse_service.modalities.tabular.spelling import NumberFormat

MIN_LOG_UNIT, MAX_LOG_UNIT = 1e-100, 1e100
MAX_LOG = 400.0  # its inverse, in the largest unit, is a finite float


class NumberColumn(Frozen):
    """A number, standardised as (value - mean) / scale; `indicator` adds a 0/1 slot for a missing value.

    With a `log_unit` the value is first asinh(value / log_unit): near 0 a line, far from it a signed
    logarithm. Mean and scale are then those of the logarithms.
    """

    type: Literal["number"] = "number"
    name: str
    mean: float
    scale: float = Field(gt=0)
    indicator: bool = False
    format: NumberFormat = NumberFormat()  # of numbers in text
    # Of a column whose values span orders of magnitude. The bounds keep it and its mean within a float.
    log_unit: float | None = Field(default=None, ge=MIN_LOG_UNIT, le=MAX_LOG_UNIT)
    # Of the bins of the piecewise encoder, standardised, in ascending order. The graph holds them as well.
    edges: tuple[float, ...] = ()

    @model_validator(mode="after")
    def _mean_is_of_logarithms(self) -> Self:
        if self.log_unit is not None and abs(self.mean) > MAX_LOG:
            raise ValueError(f"mean is {self.mean:g}, but no logarithm is beyond {MAX_LOG:g}")
        return self


class BooleanColumn(Frozen):
    """true is 1, false is -1, missing is 0."""

    type: Literal["boolean"] = "boolean"
    name: str


class CategoryColumn(Frozen):
    """One slot per category; an unseen or missing category leaves all of them 0.

    A column of very many categories has `buckets` further slots, which the others share by their hash.
    """

    type: Literal["category"] = "category"
    name: str
    categories: tuple[str, ...]
    buckets: int = Field(default=0, ge=0, le=65536)


Column = Annotated[NumberColumn | BooleanColumn | CategoryColumn, Field(discriminator="type")]

JSON_TYPES = {
    "number": ["number", "string", "boolean", "null"],
    "boolean": ["boolean", "number", "string", "null"],
    "category": ["string", "number", "boolean", "null"],
}


def standardise(column: NumberColumn, number: float) -> float:
    """Return a number as its column's slot has it; infinity if it is too large.

    >>> standardise(NumberColumn(name="age", mean=50.0, scale=10.0), 65.0)
    1.5
    """
    if column.log_unit is not None:
        number = math.asinh(number / column.log_unit)
    return (number - column.mean) / column.scale


def count_slots(column: Column) -> int:
    """Return how many slots of the vector a column takes."""
    if isinstance(column, NumberColumn):
        return 2 if column.indicator else 1
    return len(column.categories) + column.buckets if isinstance(column, CategoryColumn) else 1


def hash_bucket(category: str, buckets: int) -> int:
    """Return the bucket of a category that has no slot of its own, 0..buckets - 1; the same everywhere."""
    return zlib.crc32(category.encode("utf-8", "surrogatepass")) % buckets


def column_schema(column: Column) -> dict[str, Any]:
    """Return the JSON Schema of one cell."""
    schema: dict[str, Any] = {"type": JSON_TYPES[column.type]}
    if isinstance(column, CategoryColumn):
        schema["description"] = "An unseen category counts as missing."
        schema["examples"] = list(column.categories[:20])
    return schema


def example_cell(column: Column) -> float | bool | str | None:
    """Return a plausible value: a number's mean, true, or the first category."""
    if isinstance(column, NumberColumn):
        unit = column.log_unit
        return float(f"{column.mean if unit is None else unit * math.sinh(column.mean):.4g}")
    if isinstance(column, BooleanColumn):
        return True
    return column.categories[0] if column.categories else None
