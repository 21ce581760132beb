"""Precision, recall and F1 of each class, with 95 % intervals.

Precision and recall are shares of rows, so their intervals are Wilson's. F1 is no share of rows, but
F* = hits / (hits + misses + false alarms) is one, and F1 = 2 F* / (1 + F*) grows with it (Hand, Christen and
Kirielle, "F*: an interpretable transformation of the F-measure", Machine Learning 110, 2021). The interval of
F1 is therefore Wilson's of F*, transformed.
"""

from typing import NamedTuple

from tailfuse.evaluation.metrics import Counts, wilson_interval


class Estimate(NamedTuple):
    """A figure and the bounds of its 95 % interval."""

    value: float
    low: float
    high: float


class ClassScores(NamedTuple):
    """The scores of one class; a score without rows is None."""

    precision: Estimate | None  # of the rows that are answered with the class
    recall: Estimate | None  # of the rows of the class
    f1: Estimate | None  # their harmonic mean, where the class has rows


def score_classes(confusion: Counts) -> list[ClassScores]:
    """Score each class of a confusion matrix (C, C) whose rows are the true classes."""
    hits, rows, answers = (
        each.tolist() for each in (confusion.diagonal(), confusion.sum(axis=1), confusion.sum(axis=0))
    )
    return [score_class(*counts) for counts in zip(hits, rows, answers, strict=True)]


def score_class(hits: int, rows: int, answers: int) -> ClassScores:
    """Score a class by its hits, its rows, and the rows that are answered with it.

    >>> score_class(3, 4, 3).precision
    Estimate(value=1.0, low=0.4385030265144692, high=1.0)
    """
    union = estimate_share(hits, rows + answers - hits) if rows else None
    return ClassScores(
        precision=estimate_share(hits, answers),
        recall=estimate_share(hits, rows),
        f1=Estimate(*(2 * share / (1 + share) for share in union)) if union else None,
    )


def estimate_share(hits: int, rows: int) -> Estimate | None:
    """Return the share hits / rows with Wilson's interval; None without rows."""
    return Estimate(hits / rows, *wilson_interval(hits, rows)) if rows else None
