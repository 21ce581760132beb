"""Tabular features: numbers, booleans and categories of one row become one float32 vector."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tailfuse_service.errors import InvalidInput, NotFinite, TextTooLong, UnknownColumn
from tailfuse_service.modalities.json_text import json_type
from tailfuse_service.modalities.limits import DEFAULT_LIMITS, Limits, make_text_too_long
from tailfuse_service.modalities.tabular.columns import (
    BooleanColumn,
    CategoryColumn,
    Column,
    NumberColumn,
    count_slots,
)

EXPECTED = {
    "number": "a finite number or null",
    "boolean": "true, false or null",
    "category": "a string, a whole number or null",
}


class TabularFeatures:
    """A row (an object by column, or an array in column order) as float32 of shape (width,)."""

    def __init__(
        self, name: str, *, columns: Sequence[Column], width: int, limits: Limits = DEFAULT_LIMITS
    ) -> None:
        self.name = name
        self.width = width
        self._max_chars = limits.max_text_chars
        self._names = tuple(column.name for column in columns)
        self._known = frozenset(self._names)
        self._slots: list[tuple[Column, int, dict[str, int]]] = []
        at = 0
        for column in columns:
            categories = column.categories if isinstance(column, CategoryColumn) else ()
            self._slots.append((column, at, {category: at + i for i, category in enumerate(categories)}))
            at += count_slots(column)

    def apply(self, raw: Any) -> NDArray[np.float32] | None:
        """Return the vector of one row; None if every value is missing."""
        values = self._by_column(raw)
        vector = np.zeros(self.width, np.float32)
        present = False
        for column, at, categories in self._slots:
            value = values.get(column.name)
            if value is not None:
                present = True
            if isinstance(column, NumberColumn):
                if value is not None:
                    vector[at] = (self._number(column, value) - column.mean) / column.scale
                elif column.indicator:
                    vector[at + 1] = 1.0
            elif value is None:
                continue
            elif isinstance(column, BooleanColumn):
                if not isinstance(value, bool):
                    raise self._invalid(column, value)
                vector[at] = 1.0 if value else -1.0
            else:
                if isinstance(value, bool) or not isinstance(value, str | int):
                    raise self._invalid(column, value)
                slot = categories.get(str(value))
                if slot is not None:
                    vector[slot] = 1.0
                elif isinstance(value, str) and len(value) > self._max_chars:
                    raise self._too_long(column, value)
        return vector if present else None

    def stack(self, rows: list[NDArray[np.float32]]) -> NDArray[np.float32]:
        return np.array(rows, np.float32) if rows else np.zeros((0, self.width), np.float32)

    def _by_column(self, raw: Any) -> Mapping[str, Any]:
        """Return the values by column. Raises InvalidInput, UnknownColumn."""
        if isinstance(raw, Mapping):
            if not raw.keys() <= self._known:
                unknown = next(key for key in raw if key not in self._known)
                raise UnknownColumn(
                    f"modality '{self.name}' has no column '{unknown}'",
                    modality=self.name, column=unknown, expected=list(self._names),
                )  # fmt: skip
            return raw
        if isinstance(raw, list | tuple):
            if len(raw) != len(self._names):
                raise InvalidInput(
                    f"modality '{self.name}': {len(raw)} values, {len(self._names)} expected",
                    modality=self.name, expected=len(self._names), received=len(raw),
                )  # fmt: skip
            return dict(zip(self._names, raw, strict=True))
        raise InvalidInput(
            f"modality '{self.name}': expected an object by column or an array in column order, "
            f"not {json_type(raw)}",
            modality=self.name, expected="object or array", received=json_type(raw),
        )  # fmt: skip

    def _number(self, column: NumberColumn, value: Any) -> float:
        """Return a number that is finite, also after scaling. Raises InvalidInput, NotFinite."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self._invalid(column, value)
        try:
            number = float(value)
        except OverflowError:
            raise self._invalid(column, value, NotFinite) from None
        # The graph receives the standardised float32, which must be finite too.
        if not math.isfinite(number) or abs(number - column.mean) / column.scale > 1e30:
            raise self._invalid(column, value, NotFinite)
        return number

    def _too_long(self, column: Column, value: str) -> TextTooLong:
        where = f"modality '{self.name}', column '{column.name}'"
        return make_text_too_long(where, len(value), self._max_chars, modality=self.name, column=column.name)

    def _invalid(self, column: Column, value: Any, kind: type[InvalidInput] = InvalidInput) -> InvalidInput:
        scalar = isinstance(value, str | int | float)
        value = value[:40] if isinstance(value, str) else value
        shown = json.dumps(value, ensure_ascii=False)[:40] if scalar else json_type(value)
        return kind(
            f"modality '{self.name}', column '{column.name}': expected {EXPECTED[column.type]}, not {shown}",
            modality=self.name, column=column.name, expected=EXPECTED[column.type], received=shown,
        )  # fmt: skip
