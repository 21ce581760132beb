"""report.html: one page that needs nothing else, the same bytes for the same run."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tailfuse_service.bundle import Manifest

from tailfuse.evaluation.evaluate import Evaluation, as_given
from tailfuse.evaluation.pages import facts, page

History = Sequence[Mapping[str, float | str]]
MAX_LABELS = 30  # beyond these classes the confusion matrix has no room for names and counts
WIDTH, HEIGHT, LEFT, BOTTOM = 480, 220, 46, 24  # of a line chart


@dataclass(frozen=True, slots=True)
class ClassRow:
    """A class in the table of classes."""

    name: str
    shot: str
    train_count: int
    rows: int
    recall: float
    confidences: list[float]


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell of the confusion matrix that has rows; `share` is of its true class."""

    true: int
    predicted: int
    rows: int
    share: float


@dataclass(frozen=True, slots=True)
class Line:
    """A curve as `x,y x,y …`, with its last value."""

    name: str
    points: str
    last: str


@dataclass(frozen=True, slots=True)
class LineChart:
    """Curves over epochs; ticks are (position, label)."""

    title: str
    lines: list[Line]
    x_ticks: list[tuple[float, str]]
    y_ticks: list[tuple[float, str]]


def write_report(path: Path, manifest: Manifest, evaluation: Evaluation, history: History) -> None:
    """Write report.html. `history` has one entry per epoch and may be empty."""
    path.write_text(report_html(manifest, evaluation, history), encoding="utf-8", newline="\n")


def report_html(
    manifest: Manifest, evaluation: Evaluation, history: History, evaluated_table: str | None = None
) -> str:
    """Return the page as text: inline style and images, no script, no request.

    `evaluated_table` names another table than the test rows of the training.
    """
    cells = confusion_cells(evaluation)
    mistakes = [cell for cell in cells if cell.true != cell.predicted]
    return page(
        "report.html.jinja",
        {
            **facts(manifest),
            "manifest": manifest,
            "evaluation": evaluation,
            "evaluated_table": evaluated_table,
            "given": {
                "weights": as_given(evaluation.weights),
                "confidences": as_given(evaluation.confidences),
            },
            "classes": class_rows(evaluation),
            "cells": cells,
            "mistakes": sorted(mistakes, key=lambda cell: (-cell.share, -cell.rows))[:8],
            "labelled": len(manifest.classes) <= MAX_LABELS,
            "charts": line_charts(history),
            "size": {"width": WIDTH, "height": HEIGHT, "left": LEFT, "bottom": BOTTOM},
        },
    )


def class_rows(evaluation: Evaluation) -> list[ClassRow]:
    """The classes, those with most training rows first."""
    rows = [
        ClassRow(info.name, info.shot, info.train_count, int(count), float(recall), confidences.tolist())
        for info, count, recall, confidences in zip(
            evaluation.classes,
            evaluation.confusion.sum(axis=1),
            evaluation.recall,
            evaluation.class_confidences,
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


def line_charts(history: History) -> list[LineChart]:
    """Loss and validation balanced accuracy over epochs."""
    charts = (
        line_chart("Loss", history, {"training": "loss", "validation": "val_loss"}),
        line_chart("Balanced accuracy", history, {"validation": "val_balanced_accuracy"}),
    )
    return [chart for chart in charts if chart.lines]


def line_chart(title: str, history: History, keys: Mapping[str, str]) -> LineChart:
    """One chart of the keys, by the name of their curve; values that are not finite are left out."""
    curves = {name: curve(history, key) for name, key in keys.items()}
    curves = {name: points for name, points in curves.items() if points}
    xs = [x for points in curves.values() for x, _ in points]
    ys = [y for points in curves.values() for _, y in points]
    if not xs:
        return LineChart(title, [], [], [])
    x_ticks, y_ticks = ticks(min(xs), max(xs)), ticks(min(ys), max(ys))
    x_low, x_high = min(xs), max(xs) if max(xs) > min(xs) else min(xs) + 1
    y_low, y_high = y_ticks[0], y_ticks[-1]

    def across(x: float) -> float:
        return round(LEFT + (WIDTH - LEFT - 8) * (x - x_low) / (x_high - x_low), 1)

    def down(y: float) -> float:
        return round((HEIGHT - BOTTOM) - (HEIGHT - BOTTOM - 10) * (y - y_low) / (y_high - y_low), 1)

    lines = [
        Line(name, " ".join(f"{across(x)},{down(y)}" for x, y in points), f"{points[-1][1]:.3f}")
        for name, points in curves.items()
    ]
    return LineChart(
        title,
        lines,
        [(across(x), f"{x:g}") for x in x_ticks if x_low <= x <= x_high],
        [(down(y), f"{y:g}") for y in y_ticks],
    )


def curve(history: History, key: str) -> list[tuple[float, float]]:
    """(epoch, value) of the entries that have a finite value."""
    points = [
        (float(entry["epoch"]), float(entry[key])) for entry in history if entry.get(key) not in (None, "")
    ]
    return [(x, y) for x, y in points if math.isfinite(y)]


def ticks(low: float, high: float, about: int = 6) -> list[float]:
    """Round numbers that cover low..high, at least two."""
    span = high - low or abs(high) or 1.0
    magnitude = 10.0 ** math.floor(math.log10(span / about))
    step = next(factor * magnitude for factor in (1, 2, 5, 10) if factor * magnitude * about >= span * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(step * at, 10) for at in range(first, max(last, first + 1) + 1)]
