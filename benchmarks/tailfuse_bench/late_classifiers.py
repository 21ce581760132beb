"""Late fusion without a neural network: a classifier on each modality's columns, log-probabilities added."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tailfuse.data.split_arrays import Dataset, SplitArrays
from tailfuse_service.bundle import Batch, Output

from tailfuse_bench.classifiers import Classifier, fit_linear, select_rows, stack_columns
from tailfuse_bench.rivals.runner.late_fusion import MIN_PROBABILITY, choose_shares, fuse
from tailfuse_bench.rivals.runner.model import balance_weights


@dataclass(frozen=True, slots=True)
class LateClassifiers:
    """Class-weighted logistic regression on each modality; `shares` multiply their log-probabilities.

    Letters: B rows, M modalities, C classes.
    """

    fitted: Mapping[str, Classifier]
    shares: NDArray[np.float64]  # (M,), at least 0
    n_classes: int

    def __call__(self, batch: Batch) -> Output:
        """Add the present modalities' log-probabilities, each times its share. Weights are NaN."""
        stacked = stack_log_probabilities(self.fitted, batch, self.n_classes)
        answers = np.exp(fuse(stacked, self.shares, batch.presence)).astype(np.float32)
        unknown = np.full(batch.presence.shape, np.nan, np.float32)
        return Output(answers, unknown, unknown)

    @property
    def parameters(self) -> int:
        """Number of parameters."""
        sizes = (each[-1].coef_.size + each[-1].intercept_.size for each in self.fitted.values())
        return int(sum(sizes)) + len(self.shares)


def fit_late_classifiers(dataset: Dataset) -> LateClassifiers:
    """Fit a classifier on each modality, and the shares on validation rows."""
    n_classes = len(dataset.classes)
    fitted = {
        name: fit_linear(select_rows(dataset.train, (name,)), select_rows(dataset.val, (name,)))
        for name in dataset.train.modalities
    }
    return LateClassifiers(fitted, fit_shares(fitted, dataset.val, n_classes), n_classes)


def fit_shares(fitted: Mapping[str, Classifier], val: SplitArrays, n_classes: int) -> NDArray[np.float64]:
    """Choose the shares with the lowest class-balanced loss on validation rows; 1 each without such rows."""
    batch = val.batch()
    stacked = stack_log_probabilities(fitted, batch, n_classes)
    weights = balance_weights(val.labels)
    return choose_shares(stacked, batch.presence, val.labels, weights)


def stack_log_probabilities(
    fitted: Mapping[str, Classifier], batch: Batch, n_classes: int
) -> NDArray[np.float64]:
    """Return each modality's log-probabilities: (B, M, C); 0 where it is absent"""
    stacked = np.zeros((*batch.presence.shape, n_classes))
    for at, (name, classifier) in enumerate(fitted.items()):
        rows = np.flatnonzero(batch.presence[:, at])
        if len(rows):
            answers = np.zeros((len(rows), n_classes))
            answers[:, classifier.classes_] = classifier.predict_proba(stack_columns(batch, (name,))[rows])
            stacked[rows, at] = np.log(answers.clip(MIN_PROBABILITY))
    return stacked
