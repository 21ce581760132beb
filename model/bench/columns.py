"""Methods that are no networks: one classifier on all columns side by side, and one on each modality's."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from model.bench.methods import LOGISTIC, TREES
from model.data.part import Dataset
from service.bundle import Batch, Output

Classifier = Any  # of scikit-learn
Subset = tuple[str, ...]

CLASSIFIERS: dict[str, Callable[[], Classifier]] = {
    LOGISTIC: lambda: make_pipeline(
        StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=2000)
    ),
    # A tenth of the columns for each split, and few bins: five times faster on a thousand columns.
    TREES: lambda: HistGradientBoostingClassifier(
        class_weight="balanced", max_features=0.1, max_bins=32, random_state=0
    ),
}


@dataclass(frozen=True, slots=True)
class Columns:
    """Fitted classifiers by subset: all modalities, and each alone. Called as a network is."""

    fitted: Mapping[Subset, Classifier]
    n_classes: int

    def __call__(self, batch: Batch) -> Output:
        """A row with one modality is answered by that one's classifier; weights and confidences are NaN."""
        modalities = tuple(batch.inputs)
        alone = batch.presence.sum(axis=1) == 1
        rows_of: dict[Subset, NDArray[np.bool_]] = {
            (name,): alone & batch.presence[:, at] for at, name in enumerate(modalities)
        }
        if len(modalities) > 1:
            rows_of[modalities] = ~alone
        probabilities = np.zeros((len(batch.presence), self.n_classes), np.float32)
        for subset, rows in rows_of.items():
            if rows.any():
                classifier = self.fitted[subset]
                answers = classifier.predict_proba(columns(batch, subset)[rows])
                probabilities[np.ix_(rows, classifier.classes_)] = answers
        unknown = np.full(batch.presence.shape, np.nan, np.float32)
        return Output(probabilities, unknown, unknown)

    @property
    def parameters(self) -> int | None:
        """How many numbers the classifier of all modalities has learnt; None of trees."""
        classifier = next(iter(self.fitted.values()))
        if isinstance(classifier, HistGradientBoostingClassifier):
            return None
        return int(classifier[-1].coef_.size + classifier[-1].intercept_.size)


def fit_columns(method: str, dataset: Dataset) -> Columns:
    """Fit on the training rows."""
    modalities = dataset.train.modalities
    subsets = dict.fromkeys((tuple(modalities), *((name,) for name in modalities)))
    return Columns({subset: fit_subset(method, dataset, subset) for subset in subsets}, len(dataset.classes))


def fit_subset(method: str, dataset: Dataset, subset: Sequence[str]) -> Classifier:
    """One classifier on the columns of a subset, on the training rows that have some of it."""
    batch = dataset.train.batch()
    has = batch.presence[:, [dataset.train.modalities.index(name) for name in subset]].any(axis=1)
    return CLASSIFIERS[method]().fit(columns(batch, subset)[has], dataset.train.labels[has])


def columns(batch: Batch, subset: Sequence[str]) -> NDArray[np.float64]:
    """(B, columns of the subset). An absent modality is 0 throughout, the mean of what is standardised."""
    wide = []
    for name in subset:
        values = batch.inputs[name].reshape(len(batch.inputs[name]), -1)
        wide.append(np.zeros((len(batch.presence), values.shape[1])))
        wide[-1][batch.rows[name]] = values
    return np.concatenate(wide, axis=1)
