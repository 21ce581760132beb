"""A part (train, val or test) of a table as arrays, and its ragged batches."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tailfuse_service.bundle import Batch
from tailfuse_service.bundle.manifest import ClassInfo
from tailfuse_service.modalities import Modality

from tailfuse.files.mapped import read_ahead
from tailfuse.modalities.ragged import pad_rows


@dataclass(frozen=True, slots=True)
class SplitArrays:
    """N rows. `inputs[m]` (n_m, ...) holds the present rows of modality m only.

    Rows of different lengths are an object array of one array each; a batch pads them.
    """

    inputs: dict[str, NDArray[Any]]
    position: dict[str, NDArray[np.int64]]  # (N,): where a row is in inputs[m]; -1 where it is absent
    labels: NDArray[np.int64]  # (N,)
    rows: NDArray[np.int64] | None = None  # (N,): where they are in their table; None of rows from no table

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def modalities(self) -> list[str]:
        return list(self.inputs)

    def presence(self) -> NDArray[np.bool_]:
        """(N, M)"""
        return np.stack([at >= 0 for at in self.position.values()], axis=1)

    def take(self, index: NDArray[np.int64]) -> "SplitArrays":
        """The rows of `index`; the inputs are shared, not copied."""
        position = {name: at[index] for name, at in self.position.items()}
        rows = None if self.rows is None else self.rows[index]
        return SplitArrays(self.inputs, position, self.labels[index], rows)

    def first(self, n: int) -> "SplitArrays":
        """At most n rows from the front."""
        return self.take(np.arange(min(n, len(self))))

    def keep(self, rows: NDArray[np.bool_]) -> "SplitArrays":
        """All rows; those that are not to be kept (N,) have no modality."""
        position = {name: np.where(rows, at, -1) for name, at in self.position.items()}
        return replace(self, position=position)

    def only(self, subset: Sequence[str]) -> "SplitArrays":
        """The rows that have every modality of `subset`, with the other modalities taken away."""
        rows = np.flatnonzero(np.all([self.position[name] >= 0 for name in subset], axis=0))
        position = {
            name: at[rows] if name in subset else np.full(len(rows), -1, np.int64)
            for name, at in self.position.items()
        }
        return SplitArrays(self.inputs, position, self.labels[rows])

    def batch(self) -> Batch:
        """All rows as one ragged batch."""
        rows = {name: np.flatnonzero(at >= 0) for name, at in self.position.items()}
        chosen = {name: self.position[name][at] for name, at in rows.items()}
        for name, at in chosen.items():
            read_ahead(self.inputs[name], at)
        inputs = {name: self.inputs[name][at] for name, at in chosen.items()}
        padded = {name: pad_rows(each, self.inputs[name]) for name, each in inputs.items()}
        return Batch(padded, rows, self.presence())

    def batches(self, size: int) -> Iterator["SplitArrays"]:
        """The rows in order, `size` at a time."""
        for start in range(0, len(self), size):
            yield self.take(np.arange(start, min(start + size, len(self))))


@dataclass(frozen=True, slots=True)
class Dataset:
    """A table ready to train on. `classes` and `modalities` were fitted on the training rows alone."""

    classes: tuple[ClassInfo, ...]
    modalities: dict[str, Modality]
    train: SplitArrays
    val: SplitArrays
    test: SplitArrays
    groups: NDArray[np.int64]  # of each training row; rows of one group are never on both sides of a fold
    merged_labels: dict[str, str] = field(
        default_factory=dict
    )  # the class of each label merged by `min_rows`
    # Rows of corrupted training values, of the kinds that corrupt raw values.
    corrupted: dict[str, NDArray[Any]] = field(default_factory=dict)
    table_sha256: str | None = None  # of the table's file; None if the rows are not from a file
