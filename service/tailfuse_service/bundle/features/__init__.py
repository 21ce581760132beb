"""Features: one raw value of a modality becomes one array. The same code trains and serves."""

from collections.abc import Callable
from typing import Any, Protocol

from numpy.typing import NDArray

from tailfuse_service.bundle.features.image import ImageFeatures
from tailfuse_service.bundle.features.series import SeriesFeatures
from tailfuse_service.bundle.features.tabular import TabularFeatures
from tailfuse_service.bundle.features.text import TextFeatures
from tailfuse_service.bundle.limits import DEFAULT_LIMITS, Limits
from tailfuse_service.bundle.manifest import Modality

__all__ = ["Features", "features_of", "input_schema"]


class Features(Protocol):
    """The fitted features of one modality."""

    def apply(self, raw: Any) -> NDArray[Any] | None:
        """The array of one raw value, or None when it says nothing (the modality is absent).

        Raises InvalidInput or a kind of it, which names the modality and, for tabular, the column.
        """

    def stack(self, rows: list[NDArray[Any]]) -> NDArray[Any]:
        """The arrays of n samples as one, rows first. n may be 0."""

    def schema(self) -> dict[str, Any]:
        """JSON Schema of the raw value, with a description."""


KINDS: dict[str, Callable[[str, Any, Limits], Features]] = {
    "image": ImageFeatures,
    "series": SeriesFeatures,
    "tabular": TabularFeatures,
    "text": TextFeatures,
}


def features_of(name: str, modality: Modality, limits: Limits = DEFAULT_LIMITS) -> Features:
    """The features of the modality called `name`."""
    return KINDS[modality.kind](name, modality, limits)


def input_schema(features: dict[str, Features]) -> dict[str, Any]:
    """JSON Schema of `inputs`: any non-empty subset of the modalities."""
    return {
        "type": "object",
        "properties": {name: each.schema() for name, each in features.items()},
        "additionalProperties": False,
        "minProperties": 1,
    }
