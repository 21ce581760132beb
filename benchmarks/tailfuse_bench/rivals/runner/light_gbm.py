"""LightGBM with balanced class weights, stopped early on validation rows."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .model import Model, balance_weights, spread_columns, stack_features
from .problem import Floats, Problem, Rows

ROUNDS, PATIENCE, LEARNING_RATE = 1000, 50, 0.05
# LightGBM's 20 rows in a leaf would hide classes that have two training rows.
MIN_LEAF_ROWS = 5


@dataclass(frozen=True, slots=True)
class Boosted:
    """A fitted LGBMClassifier."""

    classifier: Any
    n_classes: int

    @property
    def parameters(self) -> int | None:
        """None: it has trees."""
        return None

    def predict(self, rows: Rows) -> Floats:
        """Return the class probabilities of rows: (N, C)"""
        answers = self.classifier.predict_proba(stack_features(rows))
        return spread_columns(answers, self.classifier.classes_, self.n_classes)

    def save(self, folder: Path) -> None:
        """Write the trees that are used."""
        self.classifier.booster_.save_model(folder / "model.txt")


def fit(problem: Problem) -> Model:
    """Fit on training rows; stop when validation rows do not improve, or when the time is up."""
    import lightgbm

    deadline = time.monotonic() + problem.seconds

    def stop_in_time(environment: Any) -> None:
        """End the training as early stopping does."""
        if time.monotonic() > deadline:
            raise lightgbm.callback.EarlyStopException(
                environment.iteration, environment.evaluation_result_list
            )

    classifier = lightgbm.LGBMClassifier(
        n_estimators=ROUNDS, learning_rate=LEARNING_RATE, min_child_samples=MIN_LEAF_ROWS,
        class_weight="balanced", random_state=problem.seed, n_jobs=1, verbose=-1,
    )  # fmt: skip
    val = problem.val
    classifier.fit(
        stack_features(problem.train),
        problem.train.labels,
        eval_set=[(stack_features(val), val.labels)],
        eval_sample_weight=[balance_weights(val.labels)],
        callbacks=[lightgbm.early_stopping(PATIENCE, verbose=False), stop_in_time],
    )
    return Boosted(classifier, problem.n_classes)
