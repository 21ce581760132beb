"""Time-series features: several channels over time (a sensor's signal, a sound) become one float32 array.

The last channel of the array is a mask, 1 at every time step: batches are padded with zeros, and the mask
tells the graph which steps are padding.
"""

import json
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tailfuse_service.errors import InvalidInput, NotFinite, UnknownColumn
from tailfuse_service.modalities.base64_text import decode_base64
from tailfuse_service.modalities.decoding import DECODING, TooMuchMemory
from tailfuse_service.modalities.json_text import json_type
from tailfuse_service.modalities.series.files import FILES, estimate_decode_bytes, read_file

NUMBERS = frozenset({int, float, type(None)})

Steps = NDArray[np.float64]  # (time, channels); NaN is missing


class SeriesFeatures:
    """A series as float32 of shape (time, channels + 1): standardised, 0 where missing; last the mask.

    A file is no longer than the limit of the body; how much memory it takes to read is reserved before.
    """

    def __init__(
        self, name: str, *, columns: Sequence[str], mean: Sequence[float], scale: Sequence[float], length: int
    ) -> None:
        self.name = name
        self.columns, self.length = columns, length
        self.n_channels = len(mean)
        self._mean, self._scale = np.array(mean), np.array(scale)

    def apply(self, raw: Any) -> NDArray[np.float32] | None:
        """Return the array of one series, at most `length` steps; None if it has no value."""
        if isinstance(raw, str):
            raw = decode_file(self.name, raw)
        if not isinstance(raw, bytes | bytearray | memoryview):
            return self._standardise(read_steps(self.name, raw, self.columns))
        data = bytes(raw)
        try:
            with DECODING.reserve(estimate_decode_bytes(data)):
                return self._standardise(read_steps(self.name, data, self.columns))
        except TooMuchMemory as error:
            raise InvalidInput(
                f"modality '{self.name}': a file of {len(data):,} bytes takes {error.needed:,} bytes of "
                f"memory to read; there are {error.limit:,} for it",
                modality=self.name, expected=error.limit, received=error.needed,
            ) from None  # fmt: skip

    def _standardise(self, steps: Steps | None) -> NDArray[np.float32] | None:
        """Shorten and standardise the steps; None if there are none."""
        if steps is None:
            return None
        expected, received = self.n_channels, steps.shape[1]
        if received != expected:
            raise InvalidInput(
                f"modality '{self.name}': {with_noun(received, 'channel')}, {expected} expected; "
                "a series is (time, channels)",
                modality=self.name, expected=expected, received=received,
            )  # fmt: skip
        with np.errstate(over="ignore"):
            scaled = (shorten(steps, self.length) - self._mean) / self._scale
        if np.nanmax(np.abs(scaled)) > 1e30:
            raise make_not_finite(self.name)
        array = np.ones((len(scaled), expected + 1), np.float32)
        array[:, :-1] = np.nan_to_num(scaled, copy=False)
        return array

    def stack(self, rows: list[NDArray[np.float32]]) -> NDArray[np.float32]:
        longest = max((len(row) for row in rows), default=1)
        padded = np.zeros((len(rows), longest, self.n_channels + 1), np.float32)
        for i, row in enumerate(rows):
            padded[i, : len(row)] = row
        return padded


def read_steps(name: str, raw: Any, columns: Sequence[str]) -> Steps | None:
    """Read the steps of a raw value: lists, an array, or a file's bytes or their base64; None if it is empty.

    With several `columns`, also a list for each by its name. Raises InvalidInput or a subclass.
    """
    if isinstance(raw, str):
        raw = decode_file(name, raw)
    if isinstance(raw, bytes | bytearray | memoryview):
        try:
            raw = read_file(bytes(raw))
        except ValueError as error:
            raise InvalidInput(f"modality '{name}': {error}", modality=name, expected=FILES) from None
    if isinstance(raw, Mapping) and len(columns) > 1:
        steps = read_columns(name, raw, columns)
    elif isinstance(raw, np.ndarray):
        steps = raw.astype(np.float64)
    elif isinstance(raw, list | tuple):
        steps = read_lists(name, raw)
    else:
        raise make_invalid(name, "a list of time steps", json_type(raw))
    if steps.ndim == 1:
        steps = steps[:, None]
    if steps.ndim != 2:
        raise make_invalid(name, "the shape (time,) or (time, channels)", str(steps.shape))
    if np.isinf(steps).any():
        raise make_not_finite(name)
    return None if np.isnan(steps).all() else steps


def decode_file(name: str, text: str) -> bytes:
    """Return the bytes of a file in base64. Raises InvalidInput."""
    try:
        return decode_base64(text)
    except ValueError:
        raise make_invalid(name, f"{FILES} in base64", "a string of other characters") from None


def read_lists(name: str, raw: Sequence[Any]) -> Steps:
    """Read a list: of numbers, which are one channel, or of lists, which are the channels of each step."""
    if not raw or not isinstance(raw[0], list | tuple):
        return read_numbers(name, raw)
    for at, step in enumerate(raw, 1):
        if not isinstance(step, list | tuple):
            raise make_invalid(name, "a list of channels like the others", json_type(step), f", step {at}")
        if len(step) != len(raw[0]):
            raise make_invalid(
                name, f"{with_noun(len(raw[0]), 'channel')} as in the first", str(len(step)), f", step {at}"
            )
    return read_numbers(name, list(chain.from_iterable(raw))).reshape(len(raw), len(raw[0]))


def read_columns(name: str, raw: Mapping[str, Any], columns: Sequence[str]) -> Steps:
    """Read a list for each channel by its column, all of the same length; one left out is missing."""
    channels: dict[str, Steps] = {}
    for column, values in raw.items():
        if column not in columns:
            raise UnknownColumn(
                f"modality '{name}' has no column '{column}'",
                modality=name, column=column, expected=list(columns),
            )  # fmt: skip
        if values is None:
            continue
        if not isinstance(values, list | tuple | np.ndarray):
            raise make_invalid(name, "a list of numbers", json_type(values), f", column '{column}'")
        channels[column] = read_numbers(name, values, f", column '{column}'")
    lengths = {column: len(values) for column, values in channels.items()}
    for column, length in lengths.items():
        first, steps = next(iter(lengths.items()))
        if length != steps:
            raise make_invalid(
                name, f"{with_noun(steps, 'step')} as in '{first}'", str(length), f", column '{column}'"
            )
    missing = np.full(max(lengths.values(), default=0), np.nan)
    return np.stack([channels.get(column, missing) for column in columns], axis=1)


def read_numbers(name: str, values: Sequence[Any] | NDArray[Any], where: str = "") -> Steps:
    """Read numbers (n,), null as NaN. Raises InvalidInput, NotFinite."""
    if not isinstance(values, np.ndarray) and not NUMBERS.issuperset(map(type, values)):
        bad = next(value for value in values if type(value) not in NUMBERS)
        shown = (
            json.dumps(bad[:40] if isinstance(bad, str) else bad)[:40]
            if isinstance(bad, str | bool)
            else json_type(bad)
        )
        raise make_invalid(name, "numbers or null", shown, where)
    try:
        return np.array(values, np.float64)
    except OverflowError:
        raise make_not_finite(name) from None


def shorten(steps: Steps, length: int) -> Steps:
    """Reduce to at most `length` steps, each the mean of equally many neighbours without missing values."""
    if len(steps) <= length:
        return steps
    starts = np.arange(length) * len(steps) // length
    known = ~np.isnan(steps)
    counts = np.add.reduceat(known, starts, axis=0, dtype=np.float64)
    sums = np.add.reduceat(np.where(known, steps, 0.0), starts, axis=0)
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def with_noun(count: int, noun: str) -> str:
    """Write a count with its noun: `1 channel`, `3 channels`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def make_invalid(name: str, expected: str, received: str, where: str = "") -> InvalidInput:
    """Make the error of a value that has another type or shape than expected."""
    return InvalidInput(
        f"modality '{name}'{where}: expected {expected}, not {received}",
        modality=name, expected=expected, received=received,
    )  # fmt: skip


def make_not_finite(name: str) -> NotFinite:
    """Make the error of a number that is infinite or too large."""
    return NotFinite(
        f"modality '{name}': a number is infinite or too large", modality=name, expected="finite numbers"
    )
