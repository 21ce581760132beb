"""The time-series kind: several channels over time, such as a sensor's signal or a sound."""

import math
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from tailfuse_service.errors import BadRequest, InvalidInput, TooDeep, TooManyValues
from tailfuse_service.modalities.json_text import parse_json
from tailfuse_service.modalities.limits import DEFAULT_LIMITS, Limits
from tailfuse_service.modalities.modality import (
    MAX_INPUTS,
    MAX_POINTS,
    Frozen,
    Modality,
    Summary,
    SummaryValues,
)
from tailfuse_service.modalities.series.features import SeriesFeatures, with_noun
from tailfuse_service.modalities.series.files import FILES
from tailfuse_service.modalities.tensor import ANY, Tensor, TensorForm, make_shape_error, read_elements

EXAMPLE_STEPS = 8
SeriesEncoder = Literal["conv", "logmel", "fixed"]


class Channel(Frozen):
    """One channel of a series, standardised as (value - mean) / scale."""

    mean: float
    scale: float = Field(gt=0)


class SeriesModality(Modality):
    """float32 rows of (time, channels + 1), at most `length` steps, padded with 0.

    The last channel is the mask: 1 at a time step, 0 in padding. `columns` are one with the whole series,
    or one for each channel.
    """

    part: ClassVar[Literal["file"]] = "file"
    part_description: ClassVar[str] = "A .npy, .wav, .csv or JSON file."
    media_type: ClassVar[str] = "application/json, text/csv, audio/wav, application/octet-stream"

    kind: Literal["series"] = "series"
    columns: tuple[str, ...]
    channels: tuple[Channel, ...]
    length: int = Field(ge=1, le=2**20)
    unreadable: Literal["stop", "missing"] = "stop"  # what a file in a table that cannot be read does
    encoder: SeriesEncoder | None = None  # older bundles do not say
    # Where training chose the encoder: the held-out loss of each that was tried.
    trial_losses: dict[str, float] | None = None

    @property
    def column_names(self) -> tuple[str, ...]:
        return self.columns

    @property
    def max_row_bytes(self) -> int:
        return 4 * self.length * (len(self.channels) + 1)

    def features(self, name: str, limits: Limits = DEFAULT_LIMITS) -> SeriesFeatures:
        return SeriesFeatures(
            name, columns=self.columns, length=self.length,
            mean=[channel.mean for channel in self.channels],
            scale=[channel.scale for channel in self.channels],
        )  # fmt: skip

    def input_schema(self) -> dict[str, Any]:
        number = {"type": ["number", "null"]}
        n_channels = len(self.channels)
        step = {"type": "array", "items": number, "minItems": n_channels, "maxItems": n_channels}
        by_column = {
            "type": "object",
            "properties": {column: {"type": ["array", "null"], "items": number} for column in self.columns},
            "additionalProperties": False,
        }
        return {
            "description": f"A series of {with_noun(n_channels, 'channel')}: a list of time steps, or "
            f"{FILES} in base64. Null or NaN is missing; more than {self.length:,} steps are "
            "averaged down to that.",
            "anyOf": [
                {"type": "array", "items": step},
                *([{"type": "array", "items": number}] if n_channels == 1 else []),
                *([by_column] if len(self.columns) > 1 else []),
                {"type": "string", "contentEncoding": "base64"},
                {"type": "null"},
            ],
        }

    def example(self) -> list[list[float]]:
        """Return a plausible short series: a wave around each channel's mean."""
        return [
            [
                float(f"{channel.mean + channel.scale * math.sin(2 * math.pi * step / EXAMPLE_STEPS):.4g}")
                for channel in self.channels
            ]
            for step in range(min(EXAMPLE_STEPS, self.length))
        ]

    def tensor_form(self) -> TensorForm:
        return TensorForm("FP32", (ANY, len(self.channels)), self.columns)

    def read_tensor(self, tensor: Tensor, limits: Limits = DEFAULT_LIMITS) -> list[Any]:
        """Return (time, channels) for each row, of (rows, time, channels); NaN at the end is padding.

        BYTES are files, or JSON, as POST /predict takes them.
        """
        if not isinstance(tensor.values, np.ndarray):
            elements = read_elements(tensor, tensor.name)
            return [parse_element(element, tensor.name, row, limits) for row, element in enumerate(elements)]
        n_channels, values = len(self.channels), tensor.values
        if len(tensor.shape) == 2 and n_channels == 1:
            values = values[..., None]
        if values.ndim != 3 or values.shape[2] != n_channels or values.dtype.kind == "b":
            raise make_shape_error(tensor, tensor.name, f"FP32 [rows, time, {n_channels}]")
        if not values.size:
            return [None] * len(values)
        if values.dtype.kind != "f":
            return list(values)
        known = ~np.isnan(values).all(axis=2)  # (rows, time)
        n_steps = (known.shape[1] - known[:, ::-1].argmax(axis=1)) * known.any(axis=1)
        return [row[:n] if n else None for row, n in zip(values, n_steps.tolist(), strict=True)]

    def summary(self) -> Summary:
        """The number of steps, and mean and standard deviation of each channel."""
        n_channels = len(self.channels)
        step = math.ceil(self.length / MAX_POINTS)
        watched = min(n_channels, (MAX_INPUTS - 1) // 2)
        if n_channels == 1:
            channels = [""]
        elif len(self.columns) == n_channels:
            channels = [f"{column} " for column in self.columns]
        else:
            channels = [f"channel {at} " for at in range(1, n_channels + 1)]
        names = [f"{channel}{what}" for channel in channels[:watched] for what in ("mean", "spread")]

        def compute(rows: NDArray[Any]) -> SummaryValues:
            steps = rows[:, ::step]
            mask = steps[:, :, -1:]
            count = np.maximum(mask.sum(1), 1)
            values = np.clip(steps[:, :, :watched], -1e9, 1e9)  # their squares are finite
            mean = (values * mask).sum(1) / count
            spread = np.sqrt((((values - mean[:, None]) * mask) ** 2).sum(1) / count)
            both = np.stack([mean, spread], axis=2).reshape(len(rows), -1)
            return np.concatenate([rows[:, :, -1].sum(1, keepdims=True), both], axis=1, dtype=np.float32)

        return Summary(["length", *names], compute)


def parse_element(element: str | bytes, name: str, row: int, limits: Limits) -> Any:
    """Return the raw value in one element of BYTES: JSON parsed, or a file. Raises InvalidInput."""
    if not element:
        return None
    if element[:1] not in ("[", "{", b"[", b"{"):
        return element
    try:
        data = element.encode() if isinstance(element, str) else element
        return parse_json(data, f"row {row}: modality '{name}'", limits)
    except (BadRequest, TooDeep, TooManyValues) as error:
        raise InvalidInput(error.detail, row=row, modality=name, expected="JSON") from None
