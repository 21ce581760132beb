"""Tabular features: numbers, booleans and categories of one row become one float32 vector."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, TypeVar

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
    hash_bucket,
    standardise,
)
from tailfuse_service.modalities.tabular.spelling import (
    KnownNames,
    MissingTexts,
    parse_boolean,
    parse_number,
    spell,
    unify,
)

EXPECTED = {
    "number": "a finite number or null",
    "boolean": "true, false or null",
    "category": "a string, a number, a boolean or null",
}
MAX_SCALED = 1e30  # of a standardised number: far below the largest float32
UNSEEN = -1
NUMERIC = frozenset((float, int))  # not bool
MAX_PLAIN, MIN_SCALE = 1e9, 1e-9  # numbers and scales for which nothing comes near MAX_SCALED

T = TypeVar("T")


class Number(NamedTuple):
    """A number's column, and what turns it into the slot `at`, and the next one if it has an indicator."""

    column: NumberColumn
    name: str
    at: int
    mean: float
    scale: float
    unit: float | None
    indicator: bool
    ordinary: bool


class TabularFeatures:
    """A row (an object by column, or an array in column order) as float32 of shape (width,).

    A cell may be a string wherever it comes from: it is read as the text of a table's cell would be. The
    texts in `missing` are missing, and so are the numbers that they spell. With `unreadable="missing"` so is
    a cell that its column cannot take.
    """

    def __init__(
        self,
        name: str,
        *,
        columns: Sequence[Column],
        width: int,
        missing: Sequence[str] = (),
        unreadable: Literal["stop", "missing"] = "stop",
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        self.name = name
        self.width = width
        self._max_chars = limits.max_text_chars
        self._names = tuple(column.name for column in columns)
        self._known = frozenset(self._names)
        self._missing = MissingTexts(missing)
        self._refuses = unreadable == "stop"
        self._numbers: list[Number] = []
        self._others: list[tuple[BooleanColumn | CategoryColumn, str, int, dict[str, int] | None]] = []
        self._categories: dict[str, KnownNames] = {}
        at = 0
        for column in columns:
            if isinstance(column, NumberColumn):
                self._numbers.append(make_number(column, at, is_any_missing=bool(self._missing.numbers)))
            elif isinstance(column, BooleanColumn):
                self._others.append((column, column.name, at, None))
            else:
                slots = {category: at + i for i, category in enumerate(column.categories)}
                self._others.append((column, column.name, at, slots))
                if slots:
                    self._categories[column.name] = KnownNames(column.categories)
            at += count_slots(column)

    def apply(self, raw: Any) -> NDArray[np.float32] | None:
        """Return the vector of one row; None if every value is missing."""
        values = self._by_column(raw)
        vector = np.zeros(self.width, np.float32)
        present = False
        # Tuples, because a model's attributes and kinds take twice as long to look up.
        for column, name, at, mean, scale, unit, indicator, ordinary in self._numbers:
            value = values.get(name)
            number: float | None
            if value is None:
                number = None
            # By far the most cells are numbers that need no reading. NaN is not among them.
            elif ordinary and type(value) in NUMERIC and -MAX_PLAIN < value < MAX_PLAIN:
                number = value
            else:
                number = self._read(self._number, column, value)
            if number is not None:
                present = True
                # As standardise(), without a call for each number.
                if unit is not None:
                    number = math.asinh(number / unit)
                vector[at] = (number - mean) / scale
            elif indicator:
                vector[at + 1] = 1.0
        for other, name, at, categories in self._others:
            value = values.get(name)
            if value is None:
                continue
            if categories is None:
                truth = value if type(value) is bool else self._read(self._boolean, other, value)
                if truth is not None:
                    present = True
                    vector[at] = 1.0 if truth else -1.0
            else:
                slot = categories.get(value) if isinstance(value, str) else None
                if slot is None:
                    slot = self._read(self._category, other, value)
                    if slot is None:
                        continue
                    slot += at
                present = True
                if slot >= at:
                    vector[slot] = 1.0
        return vector if present else None

    def find_slot(self, column: CategoryColumn, value: Any) -> int | None:
        """Return a category's slot within its column, -1 if it is unseen, None if it is missing."""
        return self._read(self._category, column, value)

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

    def _read(self, read: Callable[[Any, Any], T | None], column: Column, value: Any) -> T | None:
        """Return a cell as `read` takes it, None if it is missing.

        Raises InvalidInput, NotFinite, TextTooLong.
        """
        if isinstance(value, str) and len(value) > self._max_chars:
            raise self._too_long(column, value)
        if self._missing.has(value):
            return None
        try:
            return read(column, value)
        except InvalidInput:
            if self._refuses:
                raise
            return None

    def _number(self, column: NumberColumn, value: Any) -> float:
        """Return a number that is finite, also after scaling. Raises InvalidInput, NotFinite."""
        if isinstance(value, str):
            number = parse_number(value, column.format)
        elif isinstance(value, int | float):
            try:
                number = float(value)
            except OverflowError:
                raise self._invalid(column, value, NotFinite) from None
        else:
            number = None
        if number is None:
            raise self._invalid(column, value)
        # The graph receives the standardised float32, which must be finite too.
        if not math.isfinite(number) or abs(standardise(column, number)) > MAX_SCALED:
            raise self._invalid(column, value, NotFinite)
        return number

    def _boolean(self, column: BooleanColumn, value: Any) -> bool:
        """Return a truth value; the numbers 1 and 0 are truth values, too. Raises InvalidInput."""
        truth = parse_boolean(spell(value)) if isinstance(value, str | int | float) else None
        if truth is None:
            raise self._invalid(column, value)
        return truth

    def _category(self, column: CategoryColumn, value: Any) -> int:
        """Return a category's slot within its column, -1 if it is unseen. Raises InvalidInput."""
        if not isinstance(value, str | int | float) or (
            isinstance(value, float) and not math.isfinite(value)
        ):
            raise self._invalid(column, value)
        known = self._categories.get(column.name)
        slot = None if known is None else known.find(value)
        if slot is not None:
            return slot
        if not column.buckets:
            return UNSEEN
        return len(column.categories) + hash_bucket(unify(spell(value)), column.buckets)

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


def make_number(column: NumberColumn, at: int, *, is_any_missing: bool) -> Number:
    """Return what turns a column's number into its slots. `is_any_missing`: some numbers are no value."""
    return Number(
        column, column.name, at, column.mean, column.scale, column.log_unit, column.indicator,
        is_ordinary(column) and not is_any_missing,
    )  # fmt: skip


def is_ordinary(column: NumberColumn) -> bool:
    """Return whether numbers below MAX_PLAIN, standardised, are far below MAX_SCALED.

    Logarithms are smaller than the numbers, whatever their unit.
    """
    return column.scale > MIN_SCALE and abs(column.mean) < MAX_PLAIN
