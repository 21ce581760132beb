"""SMOTE (Chawla et al. 2002): synthetic rows between a rare class's rows and their nearest neighbours."""

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tailfuse.data.split_arrays import SplitArrays
from tailfuse.errors import SpecError

NEIGHBOURS = 5  # as in the paper; one less than its rows for a class of fewer


def oversample(part: SplitArrays, seed: int) -> SplitArrays:
    """Append synthetic rows, so that every class has as many rows as the largest.

    Neighbours are sought, and rows interpolated, in the concatenated columns of all modalities, categories
    as their one-hot slots. Only rows with all modalities take part: a class with fewer than two of them
    stays as it is.

    Raises SpecError if a modality has no columns to interpolate, or a package is missing.
    """
    for name, rows in part.inputs.items():
        if rows.ndim != 2 or rows.dtype.kind != "f":
            raise SpecError(
                f"training.smote: modality '{name}' is not a row of numbers to interpolate; "
                "SMOTE takes tabular modalities and cached image features"
            )
    complete = np.flatnonzero(part.presence().all(axis=1))
    columns = [part.inputs[name][at[complete]] for name, at in part.position.items()]
    counts = np.bincount(part.labels)
    made, labels = make_synthetic_rows(
        np.concatenate(columns, axis=1), part.labels[complete], counts.max() - counts, seed
    )
    inputs, position = {}, {}
    ends = np.cumsum([each.shape[1] for each in columns])
    for (name, at), new in zip(part.position.items(), np.split(made, ends[:-1], axis=1), strict=True):
        rows = part.inputs[name]
        inputs[name] = np.concatenate([rows, new.astype(rows.dtype)])
        position[name] = np.concatenate([at, len(rows) + np.arange(len(new))])
    return SplitArrays(inputs, position, np.concatenate([part.labels, labels]))


def make_synthetic_rows(
    rows: NDArray[Any], labels: NDArray[np.int64], wanted: NDArray[np.int64], seed: int
) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Make wanted[c] rows of each class c that has two rows: (n, width), (n,), (C,) -> (new, width), (new,)

    Raises SpecError.
    """
    try:
        from imblearn.over_sampling import SMOTE
    except ImportError:
        raise SpecError("training.smote needs imbalanced-learn; pip install imbalanced-learn") from None
    counts = np.bincount(labels, minlength=len(wanted))
    if np.count_nonzero(counts) < 2:
        raise SpecError("training.smote: fewer than two classes have rows with all modalities")
    neighbours = np.where(wanted > 0, np.minimum(counts - 1, NEIGHBOURS), 0)
    made, made_labels = [rows[:0]], [labels[:0]]
    for k in np.unique(neighbours[neighbours > 0]):
        target = {int(c): int(counts[c] + wanted[c]) for c in np.flatnonzero(neighbours == k)}
        smote = SMOTE(sampling_strategy=target, k_neighbors=int(k), random_state=seed % 2**32)
        with warnings.catch_warnings():
            # Of more rows than the largest class has complete ones.
            warnings.filterwarnings("ignore", "After over-sampling", UserWarning)
            more, more_labels = smote.fit_resample(rows, labels)
        made.append(more[len(rows) :])  # the given rows come first
        made_labels.append(more_labels[len(rows) :])
    return np.concatenate(made), np.concatenate(made_labels)
