"""The columns of a tabular modality as the manifest describes them, and the slots that each takes."""

import zlib
from typing import Annotated, Any, Literal

from pydantic import Field

from tailfuse_service.modalities.modality import Frozen
from tailfuse_service.modalities.tabular.spelling import NumberFormat


class NumberColumn(Frozen):
    """A number, standardised as (value - mean) / scale; `indicator` adds a 0/1 slot for a missing value."""

    type: Literal["number"] = "number"
    name: str
    mean: float
    scale: float = Field(gt=0)
    indicator: bool = False
    format: NumberFormat = NumberFormat()  # of numbers in text


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
        return float(f"{column.mean:.4g}")
    if isinstance(column, BooleanColumn):
        return True
    return column.categories[0] if column.categories else None
