"""Series features: several channels over time (a sensor's trace, a sound) become one float32 array.

The last channel of the array is a mask, 1 at every time step: batches are padded with zeros, and by it the
graph tells padding from values.
"""

import json
import math
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
import pybase64
from numpy.typing import NDArray

from tailfuse_service.bundle.features.series_file import FILES, read_file
from tailfuse_service.bundle.features.tabular import json_type
from tailfuse_service.bundle.limits import DEFAULT_LIMITS, Limits
from tailfuse_service.bundle.manifest import SeriesModality
from tailfuse_service.errors import InvalidInput, NotFinite, UnknownColumn

NUMBERS = frozenset({int, float, type(None)})
EXAMPLE_STEPS = 8

Steps = NDArray[np.float64]  # (time, channels); NaN is missing


class SeriesFeatures:
    """A series as float32 of shape (time, channels + 1): standardised, 0 where missing; last the mask.

    Its file is no longer than a body may be, and unpacks to no more: it needs no limit of its own.
    """

    def __init__(self, name: str, modality: SeriesModality, _: Limits = DEFAULT_LIMITS) -> None:
        self.name = name
        self.modality = modality
        self._mean = np.array([channel.mean for channel in modality.channels])
        self._scale = np.array([channel.scale for channel in modality.channels])

    def apply(self, raw: Any) -> NDArray[np.float32] | None:
        """The array of one series, at most `length` steps; None if it has no value."""
        steps = steps_of(self.name, raw, self.modality.columns)
        if steps is None:
            return None
        expected, received = len(self.modality.channels), steps.shape[1]
        if received != expected:
            raise InvalidInput(
                f"modality '{self.name}': {counted(received, 'channel')}, {expected} expected; "
                "a series is (time, channels)",
                modality=self.name, expected=expected, received=received,
            )  # fmt: skip
        with np.errstate(over="ignore"):
            scaled = (shortened(steps, self.modality.length) - self._mean) / self._scale
        if np.nanmax(np.abs(scaled)) > 1e30:
            raise too_large(self.name)
        array = np.ones((len(scaled), expected + 1), np.float32)
        array[:, :-1] = np.nan_to_num(scaled, copy=False)
        return array

    def stack(self, rows: list[NDArray[np.float32]]) -> NDArray[np.float32]:
        longest = max((len(row) for row in rows), default=1)
        padded = np.zeros((len(rows), longest, len(self.modality.channels) + 1), np.float32)
        for i, row in enumerate(rows):
            padded[i, : len(row)] = row
        return padded

    def schema(self) -> dict[str, Any]:
        number = {"type": ["number", "null"]}
        n_channels = len(self.modality.channels)
        step = {"type": "array", "items": number, "minItems": n_channels, "maxItems": n_channels}
        by_column = {
            "type": "object",
            "properties": {
                column: {"type": ["array", "null"], "items": number} for column in self.modality.columns
            },
            "additionalProperties": False,
        }
        return {
            "description": f"A series of {counted(n_channels, 'channel')}: a list of time steps, or "
            f"{FILES} in base64. Null or NaN is missing; more than {self.modality.length:,} steps are "
            "averaged down to that.",
            "anyOf": [
                {"type": "array", "items": step},
                *([{"type": "array", "items": number}] if n_channels == 1 else []),
                *([by_column] if len(self.modality.columns) > 1 else []),
                {"type": "string", "contentEncoding": "base64"},
                {"type": "null"},
            ],
        }


def steps_of(name: str, raw: Any, columns: Sequence[str]) -> Steps | None:
    """The steps of a raw value: lists, an array, or a file's bytes or their base64; None if it has no value.

    With several `columns`, also a list for each by its name. Raises InvalidInput or a kind of it.
    """
    if isinstance(raw, str):
        raw = from_base64(name, raw)
    if isinstance(raw, bytes | bytearray | memoryview):
        try:
            raw = read_file(bytes(raw))
        except ValueError as error:
            raise InvalidInput(f"modality '{name}': {error}", modality=name, expected=FILES) from None
    if isinstance(raw, Mapping) and len(columns) > 1:
        steps = from_columns(name, raw, columns)
    elif isinstance(raw, np.ndarray):
        steps = raw.astype(np.float64)
    elif isinstance(raw, list | tuple):
        steps = from_lists(name, raw)
    else:
        raise invalid(name, "a list of time steps", json_type(raw))
    if steps.ndim == 1:
        steps = steps[:, None]
    if steps.ndim != 2:
        raise invalid(name, "the shape (time,) or (time, channels)", str(steps.shape))
    if np.isinf(steps).any():
        raise too_large(name)
    return None if np.isnan(steps).all() else steps


def from_base64(name: str, text: str) -> bytes:
    """Raises InvalidInput."""
    if text.startswith("data:"):
        text = text.partition(",")[2]
    try:
        return pybase64.b64decode(text, validate=True)
    except ValueError:
        raise invalid(name, f"{FILES} in base64", "a string of other characters") from None


def from_lists(name: str, raw: Sequence[Any]) -> Steps:
    """Numbers are one channel; lists of as many numbers are the channels of each step."""
    if not raw or not isinstance(raw[0], list | tuple):
        return numbers(name, raw)
    for at, step in enumerate(raw, 1):
        if not isinstance(step, list | tuple):
            raise invalid(name, "a list of channels as the others are", json_type(step), f", step {at}")
        if len(step) != len(raw[0]):
            raise invalid(
                name, f"{counted(len(raw[0]), 'channel')} as in the first", str(len(step)), f", step {at}"
            )
    return numbers(name, list(chain.from_iterable(raw))).reshape(len(raw), len(raw[0]))


def from_columns(name: str, raw: Mapping[str, Any], columns: Sequence[str]) -> Steps:
    """A list for each channel by its column, all as long; one left out is missing."""
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
            raise invalid(name, "a list of numbers", json_type(values), f", column '{column}'")
        channels[column] = numbers(name, values, f", column '{column}'")
    lengths = {column: len(values) for column, values in channels.items()}
    for column, length in lengths.items():
        first, steps = next(iter(lengths.items()))
        if length != steps:
            raise invalid(
                name, f"{counted(steps, 'step')} as in '{first}'", str(length), f", column '{column}'"
            )
    missing = np.full(max(lengths.values(), default=0), np.nan)
    return np.stack([channels.get(column, missing) for column in columns], axis=1)


def numbers(name: str, values: Sequence[Any] | NDArray[Any], where: str = "") -> Steps:
    """(n,), null as NaN."""
    if not isinstance(values, np.ndarray) and not NUMBERS.issuperset(map(type, values)):
        bad = next(value for value in values if type(value) not in NUMBERS)
        shown = (
            json.dumps(bad[:40] if isinstance(bad, str) else bad)[:40]
            if isinstance(bad, str | bool)
            else json_type(bad)
        )
        raise invalid(name, "numbers or null", shown, where)
    try:
        return np.array(values, np.float64)
    except OverflowError:
        raise too_large(name) from None


def shortened(steps: Steps, length: int) -> Steps:
    """At most `length` steps: each the mean of as many neighbours, leaving out those that are missing."""
    if len(steps) <= length:
        return steps
    starts = np.arange(length) * len(steps) // length
    known = ~np.isnan(steps)
    counts = np.add.reduceat(known, starts, axis=0, dtype=np.float64)
    sums = np.add.reduceat(np.where(known, steps, 0.0), starts, axis=0)
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def example_series(modality: SeriesModality) -> list[list[float]]:
    """A plausible short series: a wave around each channel's mean."""
    return [
        [
            float(f"{channel.mean + channel.scale * math.sin(2 * math.pi * step / EXAMPLE_STEPS):.4g}")
            for channel in modality.channels
        ]
        for step in range(min(EXAMPLE_STEPS, modality.length))
    ]


def counted(count: int, noun: str) -> str:
    """`1 channel`, `3 channels`"""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def invalid(name: str, expected: str, received: str, where: str = "") -> InvalidInput:
    return InvalidInput(
        f"modality '{name}'{where}: expected {expected}, not {received}",
        modality=name, expected=expected, received=received,
    )  # fmt: skip


def too_large(name: str) -> NotFinite:
    return NotFinite(
        f"modality '{name}': a number is infinite or too large", modality=name, expected="finite numbers"
    )
