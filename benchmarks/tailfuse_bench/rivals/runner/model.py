"""What all rivals share: the interface of a fitted model, and columns made of the modalities.

Letters: N rows, W columns, C classes.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .problem import Floats, Rows


class Model(Protocol):
    """A fitted rival."""

    @property
    def parameters(self) -> int | None:
        """Number of parameters; None for trees."""

    def predict(self, rows: Rows) -> Floats:
        """Return the class probabilities of rows: (N, C)"""

    def save(self, folder: Path) -> None:
        """Write into a folder what answering takes."""


def stack_features(rows: Rows, modalities: Iterable[str] | None = None) -> NDArray[np.float32]:
    """Concatenate the features of all or some modalities: (N, W). NaN is missing."""
    names = list(rows.features if modalities is None else modalities)
    if not names:
        return np.empty((len(rows), 0), np.float32)
    return np.concatenate([rows.features[name] for name in names], axis=1)


def spread_columns(probabilities: Any, classes: Sequence[int] | Any, n_classes: int) -> Floats:
    """Give each class its column, 0 for a class that the model does not know: (N, known) -> (N, C)"""
    known = np.asarray(probabilities, np.float64)
    spread = np.zeros((len(known), n_classes))
    spread[:, np.asarray(classes, np.int64)] = known
    return spread


def balance_weights(labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return row weights (N,) with which every class counts alike; their mean is 1."""
    _, codes, counts = np.unique(labels, return_inverse=True, return_counts=True)
    weights: NDArray[np.float64] = len(labels) / (len(counts) * counts[codes])
    return weights
