"""CatBoost with balanced class weights; texts are text features, encoders' features embedding features."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .model import Model, balance_weights, spread_columns
from .problem import Floats, Problem, Rows

ROUNDS, PATIENCE = 1000, 50


@dataclass(frozen=True, slots=True)
class Boosted:
    """A fitted CatBoostClassifier."""

    classifier: Any
    embeddings: tuple[str, ...]
    n_classes: int

    @property
    def parameters(self) -> int | None:
        """None: it has trees."""
        return None

    def predict(self, rows: Rows) -> Floats:
        """Return the class probabilities of rows: (N, C)"""
        answers = self.classifier.predict_proba(make_pool(rows, self.embeddings))
        return spread_columns(answers, self.classifier.classes_, self.n_classes)

    def save(self, folder: Path) -> None:
        """Write the model."""
        self.classifier.save_model(str(folder / "model.cbm"))


@dataclass(frozen=True, slots=True)
class Deadline:
    """A callback that ends the training when the time is up."""

    at: float

    def after_iteration(self, info: Any) -> bool:
        """Return whether to go on."""
        return time.monotonic() < self.at


def fit(problem: Problem) -> Model:
    """Fit with embedding features, and with their numbers as columns; keep the lower validation loss.

    Embedding features overfit where an embedding is longer than there are rows. Each gets half of the time.
    """
    choices = (problem.embeddings, ()) if problem.embeddings else ((),)
    seconds = problem.seconds / len(choices)
    fitted = [fit_embeddings(problem, embeddings, seconds) for embeddings in choices]
    return min(fitted, key=lambda each: float(each.classifier.best_score_["validation"]["MultiClass"]))


def fit_embeddings(problem: Problem, embeddings: tuple[str, ...], seconds: float) -> Boosted:
    """Fit on training rows; stop when validation rows do not improve, or when the time is up."""
    from catboost import CatBoostClassifier

    classifier = CatBoostClassifier(
        iterations=ROUNDS, loss_function="MultiClass", classes_count=problem.n_classes,
        random_seed=problem.seed, thread_count=1, early_stopping_rounds=PATIENCE,
        allow_writing_files=False, verbose=False,
    )  # fmt: skip
    classifier.fit(
        make_pool(problem.train, embeddings),
        eval_set=make_pool(problem.val, embeddings),
        callbacks=[Deadline(time.monotonic() + seconds)],
    )
    return Boosted(classifier, embeddings, problem.n_classes)


def make_pool(rows: Rows, embeddings: tuple[str, ...]) -> Any:
    """Return the rows as CatBoost takes them, weighted so that every class counts alike.

    It takes no missing embedding: such a row has zeros, the mean, and a column says so.
    """
    import pandas
    from catboost import Pool

    columns: dict[str, Any] = {}
    for name, features in rows.features.items():
        if name in embeddings:
            columns[f"{name} present"] = rows.presence(name).astype(np.float32)
            columns[f"{name} embedding"] = list(np.nan_to_num(features))
        else:
            columns |= {f"{name} {at}": column for at, column in enumerate(features.T)}
    columns |= {f"{name} text": [text or "" for text in texts] for name, texts in rows.texts.items()}
    labelled = len(rows.labels) > 0
    return Pool(
        pandas.DataFrame(columns),
        rows.labels if labelled else None,
        weight=balance_weights(rows.labels) if labelled else None,
        text_features=[f"{name} text" for name in rows.texts],
        embedding_features=[f"{name} embedding" for name in rows.features if name in embeddings],
    )
