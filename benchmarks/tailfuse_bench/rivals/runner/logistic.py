"""Class-weighted logistic regression on TF-IDF of the texts and the other modalities' features.

`fit` concatenates all modalities; `fit_late` fits each alone and adds their log-probabilities.
"""

import pickle
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, hstack
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.preprocessing import StandardScaler

from .late_fusion import MIN_PROBABILITY, choose_shares, fuse
from .model import Model, balance_weights, spread_columns
from .problem import Floats, Problem, Rows

STRENGTHS = (0.01, 0.1, 1.0, 10.0)  # C; validation rows select one
MAX_ITERATIONS = 300


@dataclass(frozen=True, slots=True)
class Columns:
    """Fitted columns of some modalities: standardised features, and TF-IDF of words and word pairs of texts.

    A missing value is 0, the mean of a feature.
    """

    scalers: dict[str, StandardScaler]
    vectorizers: dict[str, TfidfVectorizer]

    def make(self, rows: Rows) -> csr_matrix:
        """Return the columns of rows: (N, W)"""
        parts = [
            csr_matrix(np.nan_to_num(scaler.transform(rows.features[name])))
            for name, scaler in self.scalers.items()
        ]
        parts += [
            vectorizer.transform([text or "" for text in rows.texts[name]])
            for name, vectorizer in self.vectorizers.items()
        ]
        return csr_matrix(hstack(parts))


@dataclass(frozen=True, slots=True)
class Logistic:
    """Columns of some modalities and a classifier on them."""

    columns: Columns
    classifier: Any
    n_classes: int

    @property
    def parameters(self) -> int | None:
        """Number of coefficients."""
        return int(self.classifier.coef_.size + self.classifier.intercept_.size)

    def predict(self, rows: Rows) -> Floats:
        """Return the class probabilities of rows: (N, C)"""
        answers = self.classifier.predict_proba(self.columns.make(rows))
        return spread_columns(answers, self.classifier.classes_, self.n_classes)

    def save(self, folder: Path) -> None:
        """Write the columns and the classifier."""
        (folder / "model.pickle").write_bytes(pickle.dumps(self))


@dataclass(frozen=True, slots=True)
class LateLogistic:
    """A classifier for each modality; `shares` multiply their log-probabilities."""

    by_modality: dict[str, Logistic]
    shares: NDArray[np.float64]

    @property
    def parameters(self) -> int | None:
        """Number of coefficients and shares."""
        return sum(each.parameters or 0 for each in self.by_modality.values()) + len(self.shares)

    def predict(self, rows: Rows) -> Floats:
        """Return the class probabilities of rows: (N, C)"""
        stacked, presence = stack_answers(self.by_modality, rows)
        answers: Floats = np.exp(fuse(stacked, self.shares, presence))
        return answers

    def save(self, folder: Path) -> None:
        """Write all classifiers and the shares."""
        (folder / "model.pickle").write_bytes(pickle.dumps(self))


def fit(problem: Problem) -> Model:
    """Fit one classifier on all modalities."""
    return fit_modalities(problem, problem.train.features)


def fit_late(problem: Problem) -> Model:
    """Fit a classifier on each modality's own rows, and the shares on validation rows."""
    by_modality = {name: fit_modalities(problem, (name,)) for name in problem.train.features}
    val = problem.val
    stacked, presence = stack_answers(by_modality, val)
    shares = choose_shares(stacked, presence, val.labels, balance_weights(val.labels))
    return LateLogistic(by_modality, shares)


def fit_modalities(problem: Problem, modalities: Iterable[str]) -> Logistic:
    """Fit on the rows that have any of the modalities. C has the lowest class-balanced validation loss."""
    names = tuple(modalities)
    train, val = (select_rows(rows, names) for rows in (problem.train, problem.val))
    columns = fit_columns(train, names)
    inputs, val_inputs = columns.make(train), columns.make(val) if len(val) else None

    def fit_strength(strength: float) -> tuple[float, Any]:
        """Return the validation loss with one C, and the classifier."""
        classifier = LogisticRegression(C=strength, class_weight="balanced", max_iter=MAX_ITERATIONS)
        classifier.fit(inputs, train.labels)
        if val_inputs is None:
            return 0.0, classifier
        answers = spread_columns(
            classifier.predict_proba(val_inputs), classifier.classes_, problem.n_classes
        ).clip(MIN_PROBABILITY)
        weights = balance_weights(val.labels)
        labels = np.arange(problem.n_classes)
        answers /= answers.sum(axis=1, keepdims=True)
        return log_loss(val.labels, answers, sample_weight=weights, labels=labels), classifier

    _, best = min(map(fit_strength, STRENGTHS), key=lambda found: found[0])
    return Logistic(columns, best, problem.n_classes)


def fit_columns(train: Rows, modalities: Iterable[str]) -> Columns:
    """Fit the columns to training rows: of a modality of texts TF-IDF, of another its features."""
    scalers, vectorizers = {}, {}
    for name in modalities:
        if name in train.texts:
            texts = [text for text in train.texts[name] if text]
            vectorizers[name] = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True).fit(texts)
        else:
            scalers[name] = StandardScaler().fit(train.features[name])
    return Columns(scalers, vectorizers)


def select_rows(rows: Rows, modalities: Iterable[str]) -> Rows:
    """Return the rows that have any of the modalities."""
    has = np.any([rows.presence(name) for name in modalities], axis=0)
    return rows.take(np.flatnonzero(has))


def stack_answers(
    by_modality: dict[str, Logistic], rows: Rows
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return each modality's log-probabilities, 0 where it is absent, and its presence: (N, M, C), (N, M)"""
    presence = np.stack([rows.presence(name) for name in by_modality], axis=1)
    answers = [np.log(each.predict(rows).clip(MIN_PROBABILITY)) for each in by_modality.values()]
    return np.stack(answers, axis=1) * presence[:, :, None], presence
