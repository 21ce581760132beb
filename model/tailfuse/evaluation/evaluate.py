"""Evaluate a network or a bundle on rows: every subset of modalities, weights and confidences.

Letters: N rows, M modalities, C classes.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import combinations
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from rich.box import SIMPLE_HEAD
from rich.table import Table
from tailfuse_service.bundle import Batch, Output
from tailfuse_service.bundle.manifest import ClassInfo, Histogram, Reference, SubsetMetrics

from tailfuse.data.split_arrays import SplitArrays
from tailfuse.evaluation.calibration_error import estimate_calibration_error
from tailfuse.evaluation.class_scores import score_classes
from tailfuse.evaluation.metrics import (
    Counts,
    Reliability,
    auroc,
    confusion,
    mean,
    recall_by_class,
    reliability,
    subset_metrics,
)
from tailfuse.evaluation.predict_part import predict_part

AS_GIVEN = "as given"  # the rows as they are, each with the modalities it has
MAX_MODALITIES_FOR_ALL_SUBSETS = 6  # beyond these not every subset is evaluated: there are 2^M - 1
EDGES = tuple(step / 20 for step in range(21))

ByModality = dict[str, float | None]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Evaluation:
    """`metrics`, `weights` and `confidences` are by subset, all modalities first.

    What is not by subset is of the rows as given. A mean without rows is None, or NaN in an array.
    """

    classes: tuple[ClassInfo, ...]
    metrics: dict[str, SubsetMetrics]
    overall: SubsetMetrics
    weights: dict[str, ByModality]  # mean fusion weight
    confidences: dict[str, ByModality]  # mean confidence
    confusion: Counts  # (C, C), rows are the true classes
    reliability: Reliability
    reference: dict[str, Reference]
    class_confidences: NDArray[np.float64]  # (C, M), mean confidence by true class
    class_weights: NDArray[np.float64]  # (C, M), mean fusion weight by true class
    confidence_auroc: ByModality  # confidence as given, against the modality alone being right
    labels: Counts  # (N,)
    given: Output  # the answers to the rows as given
    alone: Counts  # (N, M), the answer to each modality alone; -1 where it is absent
    # By class prior, of the rows as given, weighted such that the classes have their training shares.
    priors: dict[str, SubsetMetrics] = field(default_factory=dict)

    @property
    def modalities(self) -> list[str]:
        return list(self.reference)

    @property
    def recall(self) -> NDArray[np.float64]:
        """(C,), NaN for a class without rows."""
        return recall_by_class(self.confusion)


def subsets(modalities: Sequence[str]) -> list[tuple[str, ...]]:
    """All non-empty subsets, largest first; of more than six modalities all, all but one, and each alone."""
    count = len(modalities)
    sizes = range(count, 0, -1) if count <= MAX_MODALITIES_FOR_ALL_SUBSETS else (count, count - 1, 1)
    return [subset for size in sizes for subset in combinations(modalities, size)]


def subset_name(subset: Sequence[str]) -> str:
    """`image+fourier`"""
    return "+".join(subset)


def evaluate(run: Callable[[Batch], Output], part: SplitArrays, classes: Sequence[ClassInfo]) -> Evaluation:
    """Run the part with every subset of its modalities, and as it is."""
    modalities = part.modalities
    presence = part.presence()
    selections = {subset_name(subset): part.only(subset) for subset in subsets(modalities)}
    everything = whole = subset_name(modalities)
    if not presence.all():
        whole = AS_GIVEN
        selections = {everything: selections.pop(everything), AS_GIVEN: part, **selections}

    shots = [info.shot for info in classes]
    metrics, weights, confidences, predicted = {}, {}, {}, {}
    for name, rows in selections.items():
        output = predict_part(run, rows) if len(rows) else make_empty_output(len(classes), len(modalities))
        metrics[name] = add_debiased_error(
            subset_metrics(output.probabilities, rows.labels, shots), output.probabilities, rows.labels
        )
        weights[name] = present_means(output.weights, rows.presence(), modalities)
        confidences[name] = present_means(output.confidences, rows.presence(), modalities)
        predicted[name] = output.probabilities.argmax(axis=1)
        if name == whole:
            given = output

    alone = np.full(presence.shape, -1, np.int64)
    for column, name in enumerate(modalities):
        alone[presence[:, column], column] = predicted[name]
    present = {name: presence[:, column] for column, name in enumerate(modalities)}
    confidence = {name: given.confidences[present[name], column] for column, name in enumerate(modalities)}
    return Evaluation(
        classes=tuple(classes),
        metrics=metrics,
        overall=metrics[whole],
        weights=weights,
        confidences=confidences,
        confusion=confusion(given.probabilities, part.labels),
        reliability=reliability(given.probabilities, part.labels),
        reference={
            name: Reference(
                presence=float(present[name].mean()) if len(part) else 0.0,
                weight=histogram(given.weights[present[name], column]),
                confidence=histogram(confidence[name]),
                weight_mean=mean(given.weights[present[name], column]),
                confidence_mean=mean(confidence[name]),
            )
            for column, name in enumerate(modalities)
        },
        class_confidences=class_means(given.confidences, presence, part.labels, len(classes)),
        class_weights=class_means(given.weights, presence, part.labels, len(classes)),
        confidence_auroc={
            name: auroc(confidence[name], predicted[name] == part.labels[present[name]])
            for name in modalities
        },
        labels=part.labels,
        given=given,
        alone=alone,
    )


def add_debiased_error(
    metrics: SubsetMetrics, probabilities: NDArray[np.float32], labels: Counts
) -> SubsetMetrics:
    """Return the metrics with the debiased calibration error, if there are rows."""
    if not len(labels):
        return metrics
    value, low, high = estimate_calibration_error(probabilities, labels)
    return metrics.model_copy(update={"ece_debiased": value, "ece_low": low, "ece_high": high})


def make_empty_output(n_classes: int, n_modalities: int) -> Output:
    """The answer to nothing."""
    empty = np.zeros((0, n_modalities), np.float32)
    return Output(np.zeros((0, n_classes), np.float32), empty, empty)


def present_means(
    values: NDArray[np.float32], presence: NDArray[np.bool_], modalities: Sequence[str]
) -> ByModality:
    """The mean of each column of (N, M) values over the rows where it is present."""
    return {name: mean(values[presence[:, at], at]) for at, name in enumerate(modalities)}


def class_means(
    values: NDArray[np.float32], presence: NDArray[np.bool_], labels: Counts, n_classes: int
) -> NDArray[np.float64]:
    """(C, M): the mean of (N, M) values over the rows of each true class where they are present."""
    of_class = np.eye(n_classes)[labels].T  # (C, N)
    rows = of_class @ presence
    sums = of_class @ np.where(presence, values, 0.0)
    means = np.full(rows.shape, np.nan)
    np.divide(sums, rows, out=means, where=rows > 0)
    return means


def histogram(values: NDArray[np.float32]) -> Histogram:
    """Counts over twenty equal bins of 0..1."""
    counts, _ = np.histogram(np.clip(values, 0.0, 1.0), EDGES)
    return Histogram(edges=EDGES, counts=tuple(int(count) for count in counts))


def as_given(by_subset: Mapping[str, T]) -> T:
    """Of values by subset that of the rows as they are; there is at least one subset."""
    return by_subset.get(AS_GIVEN) or next(iter(by_subset.values()))


def evaluation_json(evaluation: Evaluation) -> dict[str, Any]:
    """The evaluation as plain JSON; what has no rows is null."""
    modalities = evaluation.modalities
    return {
        "overall": evaluation.overall.model_dump(),
        "subsets": {
            name: {
                **metrics.model_dump(),
                "weights": evaluation.weights[name],
                "confidences": evaluation.confidences[name],
            }
            for name, metrics in evaluation.metrics.items()
        },
        "priors": {name: metrics.model_dump() for name, metrics in evaluation.priors.items()},
        "classes": [
            {
                **info.model_dump(),
                "rows": int(rows),
                "recall": scores.recall and scores.recall.value,
                "precision": scores.precision and scores.precision.value,
                "f1": scores.f1 and scores.f1.value,
                "intervals": {
                    name: each and [each.low, each.high] for name, each in scores._asdict().items()
                },
                "confidences": dict(zip(modalities, map(or_none, confidences), strict=True)),
                "weights": dict(zip(modalities, map(or_none, weights), strict=True)),
            }
            for info, rows, scores, confidences, weights in zip(
                evaluation.classes,
                evaluation.confusion.sum(axis=1),
                score_classes(evaluation.confusion),
                evaluation.class_confidences,
                evaluation.class_weights,
                strict=True,
            )
        ],
        "confusion": evaluation.confusion.tolist(),
        "reliability": {key: values.tolist() for key, values in asdict(evaluation.reliability).items()},
        "confidence_auroc": evaluation.confidence_auroc,
        "reference": {name: reference.model_dump() for name, reference in evaluation.reference.items()},
    }


def or_none(value: float) -> float | None:
    """NaN, which JSON lacks, as None."""
    return None if np.isnan(value) else float(value)


def subset_table(metrics: Mapping[str, SubsetMetrics]) -> Table:
    """The metrics by subset, narrow enough for a terminal of 80 columns."""
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("subset", overflow="fold")
    for heading in ("rows", "bal.\nacc.", "many", "medium", "few", "macro\nF1", "acc.", "NLL", "ECE"):
        table.add_column(heading, justify="right")
    for name, each in metrics.items():
        shares = each.balanced_accuracy, each.many, each.medium, each.few, each.macro_f1, each.accuracy
        cells = (str(each.rows), *map(percent, shares), decimal(each.nll), decimal(each.ece))
        table.add_row(name, *cells)
    return table


def describe_calibration_error(metrics: SubsetMetrics) -> str:
    """The calibration error with the noise of its bins, and without."""
    if metrics.ece_debiased is None:
        return f"Calibration error (ECE): {decimal(metrics.ece)}."
    interval = f"95 % interval {decimal(metrics.ece_low)} to {decimal(metrics.ece_high)}"
    return (
        f"Calibration error (ECE): {decimal(metrics.ece)}; without the noise of its bins "
        f"{metrics.ece_debiased:.3f}, {interval}."
    )


def percent(value: float | None) -> str:
    """`96.3%`, or a dash for what has no rows."""
    return "–" if value is None or np.isnan(value) else f"{value:.1%}"


def decimal(value: float | None) -> str:
    """`0.043`, or a dash for what has no rows."""
    return "–" if value is None or np.isnan(value) else f"{value:.3f}"
