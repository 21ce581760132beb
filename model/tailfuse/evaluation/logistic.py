"""Logistic regression on all modalities side by side: the baseline that a stranger asks for first.

Classes weigh alike, as in balanced accuracy, and the validation rows choose the regularisation. The columns
are those that each kind of modality gives a linear model; an absent modality is 0, its mean.

Letters: N rows, K columns, C classes.
"""

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.utils.class_weight import compute_sample_weight
from tailfuse_service.modalities import Modality

from tailfuse.data.classes import order_by_class
from tailfuse.data.split_arrays import Dataset, SplitArrays
from tailfuse.evaluation.metrics import Counts
from tailfuse.modalities import KINDS

Columns = Any  # (N, K), an array or a sparse matrix of SciPy

REGULARISATION = (0.001, 0.01, 0.1, 1.0)  # `C` of scikit-learn
# Rows x columns x classes: a step on as many numbers takes a tenth of a second. Of more rows the classes give
# evenly.
MAX_NUMBERS = 50_000_000
SAMPLE = 256  # rows that tell how many numbers a row has
MAX_STEPS = 100
MAX_VALUE = 1e9  # a larger one would make the spread of its column infinite


@dataclass(frozen=True, slots=True)
class Scale:
    """Mean and spread of a modality's columns among the training rows that have it, (K,) each."""

    mean: NDArray[np.float64]
    spread: NDArray[np.float64]


def predict_logistic(dataset: Dataset) -> Counts:
    """Fit on the training rows and return the class of each test row, (N,)."""
    predicted: Counts = predict_probabilities(dataset).argmax(axis=1)
    return predicted


def predict_probabilities(dataset: Dataset) -> NDArray[np.float64]:
    """Fit on the training rows and return the probabilities of each test row, (N, C)."""
    n_classes = len(dataset.classes)
    limit = max(n_classes, MAX_NUMBERS // (count_numbers(dataset) * n_classes))
    train, val = (
        part.take(np.sort(order_by_class(part.labels)[:limit])) for part in (dataset.train, dataset.val)
    )
    columns = ColumnMaker(dataset.modalities, train)
    fitted = fit_paths(columns.make(train), train.labels)
    val_columns, weights = columns.make(val), compute_sample_weight("balanced", val.labels)

    def loss(classifier: LogisticRegression) -> float:
        answers = classifier.predict_proba(val_columns)
        return float(log_loss(val.labels, answers, sample_weight=weights, labels=classifier.classes_))

    best = min(fitted, key=loss)
    probabilities = np.zeros((len(dataset.test), n_classes))
    pieces = [best.predict_proba(columns.make(piece)) for piece in dataset.test.batches(4096)]
    probabilities[:, best.classes_] = np.concatenate(pieces)
    return probabilities


def fit_paths(columns: Columns, labels: Counts) -> Iterator[LogisticRegression]:
    """Yield a classifier for each strength of regularisation."""
    for strength in REGULARISATION:
        classifier = LogisticRegression(C=strength, class_weight="balanced", max_iter=MAX_STEPS)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # validation rows judge what it has reached
            yield classifier.fit(columns, labels)


def count_numbers(dataset: Dataset) -> int:
    """Count the numbers of a row: of all columns, or of those that are not 0 in sparse ones."""
    sample = dataset.train.take(order_by_class(dataset.train.labels)[:SAMPLE])
    columns = ColumnMaker(dataset.modalities, sample).make(sample)
    numbers = columns.nnz // len(sample) if sparse.issparse(columns) else columns.shape[1]
    return max(1, int(numbers))


class ColumnMaker:
    """Makes the columns of a linear model, standardised on the training rows unless they are sparse."""

    def __init__(self, modalities: Mapping[str, Modality], train: SplitArrays) -> None:
        self._modalities = modalities
        self._scales: dict[str, Scale | None] = {}
        self._widths: dict[str, int] = {}
        for name in modalities:
            values = self._compute(name, train)
            if values is None:
                continue  # no training row has it
            self._widths[name] = values.shape[1]
            self._scales[name] = None if sparse.issparse(values) else measure_scale(values)

    def make(self, part: SplitArrays) -> Columns:
        """Return the columns of all modalities, (N, K); sparse if any of them is."""
        blocks = [self._make_block(name, part) for name in self._widths]
        if any(sparse.issparse(block) for block in blocks):
            return sparse.hstack([sparse.csr_matrix(block) for block in blocks], format="csr")
        return np.concatenate(blocks, axis=1)

    def _make_block(self, name: str, part: SplitArrays) -> Columns:
        values, scale = self._compute(name, part), self._scales[name]
        present = np.flatnonzero(part.position[name] >= 0)
        if scale is None:
            spread = sparse.csr_matrix(
                (np.ones(len(present)), (present, np.arange(len(present)))), (len(part), len(present))
            )
            empty = sparse.csr_matrix((len(part), self._widths[name]))
            return empty if values is None else spread @ values
        block = np.zeros((len(part), self._widths[name]))
        if values is not None:
            block[present] = (values - scale.mean) / scale.spread
        return block

    def _compute(self, name: str, part: SplitArrays) -> Columns | None:
        """Return the columns of the rows that have a modality; None if there is none."""
        at = part.position[name]
        at = at[at >= 0]
        modality = self._modalities[name]
        if not len(at):
            return None
        values = KINDS[modality.kind].linear_columns(modality, part.inputs[name][at])
        return values if sparse.issparse(values) else np.nan_to_num(values).clip(-MAX_VALUE, MAX_VALUE)


def measure_scale(values: NDArray[np.float64]) -> Scale:
    """Measure the mean and the spread of columns; that of a constant column is 1."""
    spread = values.std(axis=0)
    return Scale(values.mean(axis=0), np.where(spread > 0, spread, 1.0))
