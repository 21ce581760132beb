"""The score of a spec in a search: the loss of its validation rows, or of its folds."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tailfuse.api.cross_validate import make_splits
from tailfuse.api.fit import fit_dataset
from tailfuse.data.dataset import load_table, make_dataset
from tailfuse.data.labels import load_labels
from tailfuse.data.split import Split, split_rows
from tailfuse.data.split_arrays import Dataset
from tailfuse.evaluation.metrics import nll, subset_metrics
from tailfuse.evaluation.predict_part import predict_part
from tailfuse.spec.schema import Spec

OnStep = Callable[[int, float], None]  # an epoch, or a fold; and its loss, or the folds' mean loss so far


class Score(NamedTuple):
    """Figures of the validation rows, or their means over the folds."""

    loss: float  # class-balanced negative log-likelihood
    balanced_accuracy: float
    macro_f1: float


class Scorer:
    """Scores specs that share a table and a split. Test rows of the split are never made into arrays."""

    def __init__(self, spec: Spec, folds: int | None, accelerator: str) -> None:
        """Read the table and split it. Raises TableError."""
        self.table = load_table(spec)
        self.labels = load_labels(self.table, spec)
        self.accelerator = accelerator
        self.has_folds = folds is not None
        if folds is None:
            split = split_rows(self.table, self.labels, spec.split, spec.seed)
            self.splits = [Split(split.train, split.val, np.zeros(0, np.int64))]
        else:
            # The rows to score are the last part of each: the fold.
            self.splits = [split for split, _ in make_splits(spec, self.table, self.labels, folds)]
        self.loaded: tuple[str, Dataset] | None = None

    def score(self, spec: Spec, on_step: OnStep) -> Score:
        """Train on the spec and score it, with all classes counted alike. Raises SpecError, TableError."""
        spec = spec.model_copy(update={"prior": None})
        scores: list[Score] = []
        for fold in range(len(self.splits)):
            dataset = self.load(spec, fold)
            if not self.has_folds:
                model = fit_dataset(
                    spec, dataset, None, self.accelerator,
                    on_epoch=lambda epoch: on_step(epoch.epoch, epoch.val_loss),
                )  # fmt: skip
                return score_answers(
                    predict_part(model.bundle.answer, dataset.val).probabilities, dataset.val.labels
                )
            model = fit_dataset(spec, dataset, None, self.accelerator)
            answers = predict_part(model.bundle.answer, dataset.test).probabilities
            scores.append(score_answers(answers, dataset.test.labels))
            on_step(fold, float(np.mean([each.loss for each in scores])))
        return Score(*np.mean(scores, axis=0).tolist())

    def load(self, spec: Spec, fold: int) -> Dataset:
        """Return the rows of a split as arrays; they are made anew if what they follow from has changed."""
        keys = spec.model_dump_json(include={"modalities": True, "training": {"damage"}}) + str(fold)
        if self.loaded is None or self.loaded[0] != keys:
            self.loaded = None  # not two of them in memory
            self.loaded = keys, make_dataset(spec, self.table, self.labels, self.splits[fold])
        return self.loaded[1]


def score_answers(probabilities: NDArray[np.floating], labels: NDArray[np.int64]) -> Score:
    """Score (N, C) probabilities.

    >>> score_answers(np.array([[0.5, 0.5], [0.5, 0.5]]), np.array([0, 1])).loss.__round__(3)
    0.693
    """
    counts = np.bincount(labels)
    metrics = subset_metrics(probabilities, labels, ["many"] * probabilities.shape[1])
    accuracy, macro_f1 = metrics.balanced_accuracy, metrics.macro_f1
    assert accuracy is not None  # there are rows
    assert macro_f1 is not None
    return Score(nll(probabilities, labels, 1 / counts[labels]), accuracy, macro_f1)
