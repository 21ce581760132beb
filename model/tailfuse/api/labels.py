"""Labels of any type beside the names of a model's classes, which are strings."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from sklearn.utils import column_or_1d
from sklearn.utils.multiclass import check_classification_targets

from tailfuse.api.cells import make_column
from tailfuse.data.classes import read_labels
from tailfuse.errors import TableError


def check_labels(y: Any, n_rows: int) -> Any:
    """Return labels (N,) that can be classes. Raises ValueError, TableError."""
    if isinstance(y, str):
        raise TypeError(f"y is the text {y!r:.40}; name the column of the labels by label={y!r:.40}")
    if isinstance(y, pl.Series):
        y = y.to_list()
    labels = column_or_1d(y, warn=True)
    if len(labels) != n_rows:
        raise ValueError(
            f"Found input variables with inconsistent numbers of samples: X has {n_rows:,}, and y has "
            f"{len(labels):,}"
        )
    if labels.dtype.kind == "c":
        raise ValueError("Complex data not supported: y holds complex numbers")
    if labels.dtype.kind == "f":
        if np.isinf(labels).any():
            raise ValueError("Input y contains infinity or a value too large for dtype('float64').")
        check_classification_targets(labels[~np.isnan(labels)])
    return labels


class Classes:
    """The classes as the user spells them, sorted, and where each is among a model's classes."""

    def __init__(self, values: NDArray[Any], names: Sequence[str]) -> None:
        spelled = spell_labels(values)
        if len(set(spelled)) == len(spelled) and set(spelled) == set(names):
            self.values, by_value = values, dict(zip(values.tolist(), spelled, strict=True))
        else:  # labels that were merged, or that differ in spaces only
            self.values, by_value = np.unique(names), {name: name for name in names}
        at = {name: position for position, name in enumerate(names)}
        self.order = np.array([at[by_value[value]] for value in self.values.tolist()])

    def sort_columns(self, probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the columns (N, C) of a model's classes in the order of `values`."""
        return probabilities[:, self.order]

    def get_values(self, chosen: NDArray[np.int64]) -> NDArray[Any]:
        """Return the value of each class (N,), given by its index among the model's classes."""
        found: NDArray[Any] = self.values[np.argsort(self.order)[chosen]]
        return found


def find_values(labels: Any) -> NDArray[Any]:
    """Return the different labels, sorted; those that are missing are left out. Raises TableError."""
    if isinstance(labels, pl.Series):
        return np.unique(np.array(labels.drop_nulls().to_list()))
    present = pl.Series(make_column("label", labels)).is_not_null() & ~is_nan(labels)
    try:
        values: NDArray[Any] = np.unique(np.asarray(labels)[present.to_numpy()])
    except TypeError:
        raise TableError("y holds labels of several types; make all of them strings or numbers") from None
    return values


def is_nan(labels: NDArray[Any]) -> pl.Series:
    """Return where numbers are NaN."""
    array = np.asarray(labels)
    return pl.Series(np.isnan(array) if array.dtype.kind == "f" else np.zeros(len(array), bool))


def spell_labels(values: NDArray[Any]) -> list[str]:
    """Return the name that each value has as a class."""
    table = pl.DataFrame([make_column("label", values)])
    return read_labels(table, "label").to_list()
