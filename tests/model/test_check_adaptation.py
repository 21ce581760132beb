"""Whether adapting raises accuracy, by labelled rows or by a simulated shift."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tailfuse.evaluation.check_adaptation import (
    MAX_KEPT_ROWS,
    MIN_LABELLED_ROWS,
    cross_validate,
    keep_answers,
    simulate,
)
from tailfuse.evaluation.prior import mean_answers

COUNTS = (500, 50, 5)


def draw(rows: Any, seed: int, scale: float = 1.0) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """So many rows of each class, and answers for equal shares: calibrated ones, if the scale is 1."""
    random = np.random.default_rng(seed)
    labels = np.repeat(np.arange(3), rows)
    x = random.normal(size=(len(labels), 3)) + 1.5 * np.eye(3)[labels]
    answers = np.exp(1.5 * scale * x)
    return answers / answers.sum(axis=1, keepdims=True), labels


def test_a_shift_of_calibrated_answers_raises_accuracy_by_both_checks() -> None:
    calibration, held_out = draw((60, 60, 60), 0)
    means = mean_answers(calibration, held_out)
    answers, labels = draw((500, 60, 10), 1)
    found = cross_validate(answers, labels, means, COUNTS)
    assert found is not None
    assert found.rows == 570
    assert found.after > found.before + 0.03
    shares = np.array([500, 60, 10]) / 570
    simulated = simulate(keep_answers(calibration, held_out), shares, 570, COUNTS)
    assert simulated is not None
    assert simulated.simulated
    assert simulated.after > simulated.before + 0.03


def test_answers_that_changed_their_meaning_lower_accuracy() -> None:
    """The rows in use are balanced, but the network takes many of the second class for the first."""
    calibration, held_out = draw((60, 60, 60), 0)
    answers, labels = draw((200, 200, 200), 1)
    confused = answers.copy()
    rows = np.flatnonzero(labels == 1)[:150]
    confused[rows, 0] = confused[rows, 1] * 0.95 + confused[rows, 0]
    confused[:, 2] *= 0.05  # and hardly any for the third
    confused /= confused.sum(axis=1, keepdims=True)
    found = cross_validate(confused, labels, mean_answers(calibration, held_out), COUNTS)
    assert found is not None
    assert found.after < found.before - 0.005


def test_a_shift_that_few_and_poor_rows_cannot_tell_is_seen_in_the_simulation() -> None:
    """Overconfident answers and a handful of calibration rows: the estimate is worse than none."""
    answers, labels = draw((4, 4, 4), 3, scale=6.0)
    even = np.array([0.36, 0.33, 0.31])
    found = simulate(keep_answers(answers, labels), even, 2000, COUNTS)
    assert found is not None
    assert found.after <= found.before


@pytest.mark.parametrize("labelled", [0, MIN_LABELLED_ROWS - 1])
def test_too_few_labels_are_not_a_check(labelled: int) -> None:
    answers, labels = draw((100, 50, 50), 1)
    labels[labelled:] = -1
    assert cross_validate(answers, labels, mean_answers(*draw((9, 9, 9), 0)), COUNTS) is None


def test_rows_without_a_label_help_to_estimate_and_are_not_judged() -> None:
    answers, labels = draw((500, 60, 10), 1)
    labels[::2] = -1
    found = cross_validate(answers, labels, mean_answers(*draw((60, 60, 60), 0)), COUNTS)
    assert found is not None
    assert found.rows == (labels >= 0).sum()


def test_rows_of_one_class_tell_nothing() -> None:
    answers, labels = draw((30, 0, 0), 1)
    assert simulate(keep_answers(answers, labels), np.full(3, 1 / 3), 100, COUNTS) is None


def test_a_class_that_has_no_kept_row_is_left_out() -> None:
    answers, labels = draw((30, 30, 0), 1)
    found = simulate(keep_answers(answers, labels), np.array([0.5, 0.4, 0.1]), 100, COUNTS)
    assert found is not None
    assert 0 <= found.after <= 1


def test_the_same_rows_give_the_same_check() -> None:
    kept = keep_answers(*draw((30, 30, 30), 1))
    shares = np.array([0.8, 0.1, 0.1])
    assert simulate(kept, shares, 100, COUNTS) == simulate(kept, shares, 100, COUNTS)


def test_rare_classes_are_kept_first() -> None:
    answers, labels = draw((3 * MAX_KEPT_ROWS, 40, 3), 1)
    kept = keep_answers(answers, labels)
    assert len(kept.labels) == MAX_KEPT_ROWS
    assert np.bincount(kept.labels).tolist()[1:] == [40, 3]
    many = np.full((300, 1000), 1e-3)
    assert len(keep_answers(many, np.arange(300)).labels) == 50
