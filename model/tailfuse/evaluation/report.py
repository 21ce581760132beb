"""report.html: one page that needs nothing else. Its date apart, equal runs give equal bytes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from tailfuse_service.bundle import Manifest

from tailfuse.evaluation.baselines import BaselineScore
from tailfuse.evaluation.class_scores import ClassScores, score_classes
from tailfuse.evaluation.evaluate import MAX_MODALITIES_FOR_ALL_SUBSETS, Evaluation, as_given
from tailfuse.evaluation.line_chart import (
    BOTTOM,
    HEIGHT,
    LEFT,
    WIDTH,
    History,
    find_kept_epoch,
    line_charts,
)
from tailfuse.evaluation.noise_curves import MAX_ROWS, NoisePoint, chart_noise
from tailfuse.evaluation.notable_rows import NotableRows
from tailfuse.evaluation.pages import facts, page
from tailfuse.evaluation.provenance import describe_provenance

MAX_LABELS = 30  # beyond these classes the confusion matrix has no room for names and counts
MAX_MISTAKES = 8  # pairs of classes that are listed
MAX_CELLS = 6000  # of the confusion matrix; a file of more would be too large to pass on
MAX_COLUMNS = 12  # modalities in a table of weights: more cannot be read, and do not fit on paper


@dataclass(frozen=True, slots=True)
class ClassRow:
    """A class in the tables of classes; weights and confidences are of the modalities that are shown."""

    name: str
    shot: str
    train_count: int
    rows: int
    scores: ClassScores
    weights: list[float]
    confidences: list[float]


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell of the confusion matrix that has rows; `share` is of its true class."""

    true: int
    predicted: int
    rows: int
    share: float


NO_ROWS = NotableRows()
LOGISTIC = "logistic regression on all modalities"


@dataclass(frozen=True, slots=True)
class Findings:
    """The contents of a report beside an evaluation; a section without content is left out."""

    baselines: Sequence[BaselineScore] = ()  # the model itself first
    rows: NotableRows = NO_ROWS
    noise: Mapping[str, Sequence[NoisePoint]] = field(default_factory=dict)  # by modality


def write_report(
    path: Path, manifest: Manifest, evaluation: Evaluation, history: History, findings: Findings
) -> None:
    """Write report.html. `history` has one entry per epoch and may be empty."""
    text = report_html(manifest, evaluation, history, findings=findings)
    path.write_text(text, encoding="utf-8", newline="\n")


def report_html(
    manifest: Manifest, evaluation: Evaluation, history: History, evaluated_table: str | None = None,
    findings: Findings | None = None,
) -> str:  # fmt: skip
    """Return the page as text: inline style and images, no script, no request.

    `evaluated_table` names another table than the test rows of the training.
    """
    findings = findings or Findings()
    cells, shown = confusion_cells(evaluation), select_modalities(evaluation)
    mistakes = [cell for cell in cells if cell.true != cell.predicted]
    return page(
        "report.html.jinja",
        {
            **facts(manifest),
            "manifest": manifest,
            "provenance": describe_provenance(manifest),
            "evaluation": evaluation,
            "findings": findings,
            "noise_charts": chart_noise(findings.noise),
            "noise_rows": MAX_ROWS,
            "evaluated_table": evaluated_table,
            "has_logistic": any(each.name == LOGISTIC for each in findings.baselines),
            "given": {
                "weights": as_given(evaluation.weights),
                "confidences": as_given(evaluation.confidences),
            },
            "classes": class_rows(evaluation, shown),
            "shown_modalities": [evaluation.modalities[at] for at in shown],
            "subset_names": name_subsets(evaluation),
            "cells": sorted(cells, key=lambda cell: -cell.rows)[:MAX_CELLS],
            "n_cells": len(cells),
            "mistakes": sorted(mistakes, key=lambda cell: (-cell.rows, -cell.share))[:MAX_MISTAKES],
            "labelled": len(manifest.classes) <= MAX_LABELS,
            "charts": line_charts(history),
            "kept_epoch": find_kept_epoch(history),
            "epochs": len(history),
            "size": {"width": WIDTH, "height": HEIGHT, "left": LEFT, "bottom": BOTTOM},
        },
    )


def select_modalities(evaluation: Evaluation) -> list[int]:
    """Select the modalities of the tables of weights: those with the largest mean weight, in their order."""
    means = [evaluation.reference[name].weight_mean or 0.0 for name in evaluation.modalities]
    return sorted(sorted(range(len(means)), key=lambda at: -means[at])[:MAX_COLUMNS])


def name_subsets(evaluation: Evaluation) -> dict[str, str]:
    """Name the subsets in few words: of many modalities "all", and "all but" the one that is missing."""
    modalities = evaluation.modalities
    names = {}
    for subset in evaluation.metrics:
        parts = subset.split("+")
        missing = [name for name in modalities if name not in parts]
        short = f"all but {missing[0]}" if missing else "all modalities"
        several = len(modalities) > MAX_MODALITIES_FOR_ALL_SUBSETS and len(parts) >= len(modalities) - 1
        names[subset] = short if several else " + ".join(parts)
    return names


def class_rows(evaluation: Evaluation, shown: Sequence[int]) -> list[ClassRow]:
    """The classes, those with most training rows first, with the modalities that are shown."""
    rows = [
        ClassRow(
            info.name, info.shot, info.train_count, int(count), scores, weights.tolist(), confidences.tolist()
        )
        for info, count, scores, weights, confidences in zip(
            evaluation.classes,
            evaluation.confusion.sum(axis=1),
            score_classes(evaluation.confusion),
            evaluation.class_weights[:, shown],
            evaluation.class_confidences[:, shown],
            strict=True,
        )
    ]
    return sorted(rows, key=lambda row: -row.train_count)


def confusion_cells(evaluation: Evaluation) -> list[Cell]:
    """Return a cell for each pair of true and predicted class, for the confusion matrix."""
    counts = evaluation.confusion
    rows = counts.sum(axis=1)
    return [
        Cell(
            int(true),
            int(predicted),
            int(counts[true, predicted]),
            float(counts[true, predicted] / rows[true]),
        )
        for true, predicted in np.argwhere(counts)
    ]
