"""The model beside baselines on the same rows: majority class, best modality alone, logistic regression.

The intervals are a bootstrap over the rows of each class. A resample of a class's rows is drawn by how
many of them are right under the model, the baseline, both or neither, which is a multinomial draw.

Letters: N rows, C classes, R resamples.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix
from tailfuse_service.bundle import Manifest

from tailfuse.evaluation.class_scores import Estimate, score_classes
from tailfuse.evaluation.evaluate import Evaluation
from tailfuse.evaluation.metrics import Counts, mean, recall_by_class

RESAMPLES = 2000
LEVEL = 0.95


class BaselineScore(NamedTuple):
    """The scores of one way to answer the rows. `gain` is the model's balanced accuracy less its own."""

    name: str
    balanced_accuracy: Estimate
    accuracy: float
    macro_f1: float | None
    few: float | None
    gain: Estimate | None  # None for the model itself


def compare_baselines(
    manifest: Manifest, evaluation: Evaluation, others: Mapping[str, Counts]
) -> list[BaselineScore]:
    """Score the model, the baselines that a bundle gives by itself, and `others`, each by its answers (N,).

    Nothing without rows.
    """
    if not len(evaluation.labels):
        return []
    model: Counts = evaluation.given.probabilities.argmax(axis=1)
    predictions = {"this model": model, **find_baselines(manifest, evaluation), **others}
    return [
        score_predictions(name, predicted, None if predicted is model else model, evaluation)
        for name, predicted in predictions.items()
    ]


def find_baselines(manifest: Manifest, evaluation: Evaluation) -> dict[str, Counts]:
    """Return the answers of the majority class and of the best modality alone, by what they are called.

    Validation rows tell which modality is best; rows without it get the majority class.
    """
    largest = int(np.argmax([info.train_count for info in manifest.classes]))
    majority = np.full(len(evaluation.labels), largest, np.int64)
    found = {f"always “{manifest.class_names[largest]}”, the largest class": majority}
    by_modality = {
        name: metrics.balanced_accuracy
        for name in evaluation.modalities
        if (metrics := manifest.validation_metrics.get(name)) and metrics.balanced_accuracy is not None
    }
    if len(by_modality) > 1:
        best = max(by_modality, key=lambda name: by_modality[name] or 0.0)
        alone = evaluation.alone[:, evaluation.modalities.index(best)]
        found[f"{best} alone, the best modality on validation rows"] = np.where(alone < 0, majority, alone)
    return found


def score_predictions(
    name: str, predicted: Counts, model: Counts | None, evaluation: Evaluation
) -> BaselineScore:
    """Score the answers (N,) to the rows, and the gain of the answers of `model` over them."""
    labels = evaluation.labels
    counts: Counts = confusion_matrix(labels, predicted, labels=np.arange(len(evaluation.classes)))
    recall = recall_by_class(counts)
    few = np.array([info.shot == "few" for info in evaluation.classes])
    f1 = [scores.f1.value for scores in score_classes(counts) if scores.f1]
    right = predicted == labels
    own, gain = bootstrap_recall(right, right if model is None else model == labels, labels)
    return BaselineScore(
        name=name,
        balanced_accuracy=own,
        accuracy=float(right.mean()),
        macro_f1=float(np.mean(f1)) if f1 else None,
        few=mean(recall[few]),
        gain=None if model is None else gain,
    )


def bootstrap_recall(
    right: NDArray[np.bool_], model_right: NDArray[np.bool_], labels: Counts
) -> tuple[Estimate, Estimate]:
    """Estimate the mean recall of answers, and how much that of the model is above it: (N,) each."""
    random = np.random.default_rng(0)
    classes, at, rows = np.unique(labels, return_inverse=True, return_counts=True)
    kinds = np.zeros((len(classes), 4))  # neither is right, the answer alone, the model alone, both
    np.add.at(kinds, (at, right + 2 * model_right), 1)
    shares = kinds / rows[:, None]
    drawn = np.stack(
        [random.multinomial(n, share, size=RESAMPLES) / n for n, share in zip(rows, shares, strict=True)]
    ).mean(axis=0)  # (R, 4)
    whole = shares.mean(axis=0)
    return (
        make_estimate(whole[1] + whole[3], drawn[:, 1] + drawn[:, 3]),
        make_estimate(whole[2] - whole[1], drawn[:, 2] - drawn[:, 1]),
    )


def make_estimate(value: float, drawn: NDArray[np.float64]) -> Estimate:
    """Return a value with the percentile interval of its resamples."""
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]).tolist()
    return Estimate(float(value), low, high)
