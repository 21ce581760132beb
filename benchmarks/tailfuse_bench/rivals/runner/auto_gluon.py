"""AutoGluon Tabular: preset `good_quality`, balanced accuracy, one core and a time limit.

It gets training and validation rows as one table and makes its own folds of them.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .model import Model, spread_columns
from .problem import Floats, Problem, Rows

LABEL = "label"


@dataclass(frozen=True, slots=True)
class Predictor:
    """A fitted TabularPredictor."""

    predictor: Any
    n_classes: int

    @property
    def parameters(self) -> int | None:
        """None: most of its models have trees."""
        return None

    def predict(self, rows: Rows) -> Floats:
        """Return the class probabilities of rows: (N, C)"""
        answers = self.predictor.predict_proba(make_table(rows), as_multiclass=True)
        return spread_columns(answers.to_numpy(), [int(name) for name in answers.columns], self.n_classes)

    def save(self, folder: Path) -> None:
        """Write what deployment takes."""
        self.predictor.clone_for_deployment(path=str(folder / "model"))


def fit(problem: Problem) -> Model:
    """Fit on training and validation rows within the time limit."""
    from autogluon.tabular import TabularPredictor

    table = make_table(problem.train, problem.val)
    table[LABEL] = np.concatenate([problem.train.labels, problem.val.labels])
    # By default a class of fewer than ten rows would never be predicted.
    predictor = TabularPredictor(
        LABEL, eval_metric="balanced_accuracy", path="autogluon", problem_type=select_type(problem),
        learner_kwargs={"label_count_threshold": 1},
    )  # fmt: skip
    predictor.fit(table, presets="good_quality", time_limit=problem.seconds, num_cpus=1, num_gpus=0)
    return Predictor(predictor, problem.n_classes)


def select_type(problem: Problem) -> str:
    """Return AutoGluon's name of the kind of problem."""
    return "binary" if problem.n_classes == 2 else "multiclass"


def make_table(*parts: Rows) -> Any:
    """Return the rows of all parts as one table of numbers and raw texts."""
    import pandas

    columns: dict[str, Any] = {}
    for name in parts[0].features:
        stacked = np.concatenate([rows.features[name] for rows in parts])
        columns |= {f"{name} {at}": column for at, column in enumerate(stacked.T)}
    for name in parts[0].texts:
        columns[f"{name} text"] = [text for rows in parts for text in rows.texts[name]]
    return pandas.DataFrame(columns)
