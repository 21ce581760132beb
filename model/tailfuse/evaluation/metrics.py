"""Metrics of probabilities against labels: functions of arrays, no more.

Letters: N rows, C classes. `labels` are indices into the classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix, f1_score, roc_auc_score
from tailfuse_service.bundle.manifest import Shot, SubsetMetrics

FloatArray = NDArray[np.floating]
Counts = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Reliability:
    """The top label's probability against how often it is right, bin by bin; empty bins are left out."""

    rows: NDArray[np.floating] | Counts
    confidence: NDArray[np.float64]
    accuracy: NDArray[np.float64]


def subset_metrics(
    probabilities: FloatArray, labels: Counts, shots: Sequence[Shot], weights: FloatArray | None = None
) -> SubsetMetrics:
    """The metrics of (N, C) probabilities; `shots` has the group of each class, `weights` that of each row.

    Balanced accuracy and macro-F1 are means over the classes that have rows here. Many, medium and few are
    the mean recall of the group's classes that have rows. What has no rows is None, never 0.
    """
    if len(labels) == 0:
        return SubsetMetrics(
            rows=0, balanced_accuracy=None, macro_f1=None, accuracy=None,
            many=None, medium=None, few=None, nll=None, ece=None,
        )  # fmt: skip
    predicted = probabilities.argmax(axis=1)
    recall = recall_by_class(confusion(probabilities, labels))
    group = np.asarray(shots)
    return SubsetMetrics(
        rows=len(labels),
        balanced_accuracy=mean(recall),
        macro_f1=float(
            f1_score(
                labels,
                predicted,
                labels=np.unique(labels),
                average="macro",
                zero_division=0,
                sample_weight=weights,
            )
        ),
        accuracy=float(np.average(predicted == labels, weights=weights)),
        many=mean(recall[group == "many"]),
        medium=mean(recall[group == "medium"]),
        few=mean(recall[group == "few"]),
        nll=nll(probabilities, labels, weights),
        ece=ece(probabilities, labels, weights=weights),
    )


def confusion(probabilities: FloatArray, labels: Counts) -> Counts:
    """Counts (C, C): rows are the true classes, columns the predicted ones."""
    n_classes = probabilities.shape[1]
    if len(labels) == 0:
        return np.zeros((n_classes, n_classes), np.int64)
    counts: Counts = confusion_matrix(labels, probabilities.argmax(axis=1), labels=np.arange(n_classes))
    return counts


def recall_by_class(counts: Counts) -> NDArray[np.float64]:
    """Recall (C,) from confusion counts; NaN for a class without rows."""
    rows = counts.sum(axis=1)
    recall = np.full(len(rows), np.nan)
    np.divide(counts.diagonal(), rows, out=recall, where=rows > 0)
    return recall


def nll(probabilities: FloatArray, labels: Counts, weights: FloatArray | None = None) -> float:
    """Mean negative natural logarithm of the true class's probability, clipped at 1e-12."""
    true = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    mean = np.average(np.log(np.maximum(true, 1e-12)), weights=weights)
    return float(0.0 - mean)  # of certain answers not -0.0


def ece(
    probabilities: FloatArray, labels: Counts, bins: int = 15, weights: FloatArray | None = None
) -> float:
    """Expected calibration error of the top label over bins of equally many rows."""
    curve = reliability(probabilities, labels, bins, weights)
    return float(np.average(np.abs(curve.accuracy - curve.confidence), weights=curve.rows))


def reliability(
    probabilities: FloatArray, labels: Counts, bins: int = 15, weights: FloatArray | None = None
) -> Reliability:
    """Bins of equally many rows by the top label's probability; a bin's `rows` are their total weight.

    Equal probabilities share a bin, so that the order of the rows does not matter.
    """
    confidence = probabilities.max(axis=1, initial=0).astype(np.float64)
    right = probabilities.argmax(axis=1) == labels
    if len(labels) == 0:
        return Reliability(np.zeros(0, np.int64), np.zeros(0), np.zeros(0))
    at = assign_bins(confidence, bins)
    weight = np.ones(len(labels), np.int64) if weights is None else weights
    rows = np.bincount(at, weights, minlength=bins)
    filled = rows > 0
    rows = rows[filled]
    return Reliability(
        rows,
        np.bincount(at, weights=weight * confidence, minlength=bins)[filled] / rows,
        np.bincount(at, weights=weight * right, minlength=bins)[filled] / rows,
    )


def assign_bins(confidence: NDArray[np.float64], bins: int) -> Counts:
    """Return the bin of each row, (N,) -> (N,); all bins have about as many rows, and equals share one."""
    ordered = np.sort(confidence)
    below, up_to = (np.searchsorted(ordered, confidence, side=side) for side in ("left", "right"))
    at: Counts = (below + up_to) * bins // (2 * len(confidence))  # the bin of the middle one of equals
    return at


def auroc(scores: FloatArray, hits: NDArray[np.bool_]) -> float | None:
    """Return the share of pairs whose right row scores above the wrong one; None if all are of one kind."""
    return None if len(np.unique(hits)) < 2 else float(roc_auc_score(hits, scores))


def wilson_interval(hits: int, rows: int) -> tuple[float, float]:
    """95 % Wilson score interval of the share hits / rows; rows > 0."""
    z = 1.959964
    share = hits / rows
    middle = share + z * z / (2 * rows)
    reach = z * (share * (1 - share) / rows + z * z / (4 * rows * rows)) ** 0.5
    scale = 1 + z * z / rows
    return max(0.0, (middle - reach) / scale), min(1.0, (middle + reach) / scale)


def mean(values: FloatArray) -> float | None:
    """Mean of the values that are not NaN; None if there are none."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else None
