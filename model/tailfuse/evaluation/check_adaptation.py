"""Check whether adapting to other class shares raises accuracy, on rows whose labels are known.

Labelled rows among the new ones tell directly: the shares are estimated without the rows that are judged.
Without labels the shift is simulated on rows that the bundle keeps: they are drawn as often as the estimated
shares say, the shares are estimated again from their answers alone, and accuracy is that of all kept rows,
weighted by the shares they were drawn with. So an estimate that is too uncertain to be of use is seen. The
rows that correct the estimate are the ones that are drawn: in trials this agreed with the test rows, where
keeping them apart spoke against almost every change, for a class has only a few rows.

Letters: N rows, C classes.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from tailfuse_service.bundle.manifest import AdaptationCheck, MeanAnswers, RowAnswers

from tailfuse.data.classes import order_by_class
from tailfuse.evaluation.metrics import Counts, FloatArray
from tailfuse.evaluation.prior import Floats, estimate_prior, mean_answers, reweighted

FOLDS = 5
MIN_LABELLED_ROWS = 50  # fewer tell accuracy to 6 points at best; the simulation says more
SIMULATIONS = 20
MAX_DRAWN_ROWS = 2000  # more make the estimate hardly better
MAX_KEPT_ROWS, MAX_KEPT_NUMBERS = 2000, 50_000  # in the manifest, which is read at every start
KEPT_DIGITS = 4


def cross_validate(
    answers: Floats, labels: Counts, calibration: MeanAnswers, train_counts: Sequence[int]
) -> AdaptationCheck | None:
    """Check on the rows (N,) with a label, -1 is none; None if these are too few."""
    labelled = np.random.default_rng(0).permutation(np.flatnonzero(labels >= 0))
    if len(labelled) < MIN_LABELLED_ROWS:
        return None
    after = answers.copy()
    for fold in np.array_split(labelled, FOLDS):
        others = np.delete(np.arange(len(labels)), fold)
        after[fold] = reweighted(
            answers[fold], estimate_prior(answers[others], calibration, train_counts).shares
        )
    before_hits, after_hits = (each[labelled].argmax(axis=1) == labels[labelled] for each in (answers, after))
    return AdaptationCheck(
        rows=len(labelled), simulated=False, before=float(before_hits.mean()), after=float(after_hits.mean())
    )


def simulate(
    kept: RowAnswers, shares: Floats, n_rows: int, train_counts: Sequence[int]
) -> AdaptationCheck | None:
    """Check on the rows that the bundle keeps, for `n_rows` new ones; None if they are too few."""
    answers, labels = np.array(kept.probabilities), np.array(kept.labels, np.int64)
    if len(np.unique(labels)) < 2:
        return None
    weights = weigh_rows(labels, shares)
    means = mean_answers(answers, labels)
    random = np.random.default_rng(0)
    outcomes = []
    for _ in range(SIMULATIONS):
        drawn = random.choice(len(labels), min(n_rows, MAX_DRAWN_ROWS), p=weights / weights.sum())
        found = estimate_prior(answers[drawn], means, train_counts).shares
        outcomes.append(measure_accuracy(answers, reweighted(answers, found), labels, weights))
    before, after = np.mean(outcomes, axis=0).tolist()
    return AdaptationCheck(rows=len(labels), simulated=True, before=before, after=after)


def measure_accuracy(before: Floats, after: Floats, labels: Counts, weights: Floats) -> tuple[float, float]:
    """Measure the accuracy of two answers to weighted rows."""
    first, second = (
        float(np.average(each.argmax(axis=1) == labels, weights=weights)) for each in (before, after)
    )
    return first, second


def weigh_rows(labels: Counts, shares: Floats) -> NDArray[np.float64]:
    """Return weights (N,) that give the classes of these rows their shares."""
    rows = np.bincount(labels, minlength=len(shares))
    return (shares / np.maximum(rows, 1))[labels]


def keep_answers(probabilities: FloatArray, labels: Counts) -> RowAnswers:
    """Keep answers (N, C) to calibration rows and their classes (N,), evenly over the classes."""
    limit = min(MAX_KEPT_ROWS, MAX_KEPT_NUMBERS // probabilities.shape[1])
    kept = np.sort(order_by_class(labels)[:limit])
    rounded = probabilities[kept].astype(np.float64).round(KEPT_DIGITS)
    return RowAnswers(labels=tuple(labels[kept].tolist()), probabilities=tuple(map(tuple, rounded.tolist())))
