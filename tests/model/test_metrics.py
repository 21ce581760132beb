"""Metrics against values worked out by hand."""

import warnings

import numpy as np
import pytest
from tailfuse.evaluation.metrics import (
    auroc,
    confusion,
    ece,
    nll,
    recall_by_class,
    reliability,
    subset_metrics,
    wilson_interval,
)
from tailfuse_service.bundle.manifest import Shot

SHOTS: tuple[Shot, ...] = ("many", "medium", "few")
# Six rows: class 0 right, right, wrong (as 1), right; class 1 right; class 2 wrong (as 0).
PROBABILITIES = np.array(
    [
        [0.8, 0.1, 0.1],
        [0.5, 0.25, 0.25],
        [0.2, 0.6, 0.2],
        [0.9, 0.05, 0.05],
        [0.1, 0.8, 0.1],
        [0.5, 0.25, 0.25],
    ]
)
LABELS = np.array([0, 0, 0, 0, 1, 2])


def test_every_metric_of_a_worked_example() -> None:
    metrics = subset_metrics(PROBABILITIES, LABELS, SHOTS)
    assert metrics.rows == 6
    assert metrics.accuracy == pytest.approx(4 / 6)
    assert metrics.many == pytest.approx(0.75)
    assert metrics.medium == pytest.approx(1.0)
    assert metrics.few == pytest.approx(0.0)
    assert metrics.balanced_accuracy == pytest.approx(0.5833333)  # (0.75 + 1 + 0) / 3
    # F1: class 0 precision 3/4, recall 3/4; class 1 precision 1/2, recall 1; class 2 nothing right.
    assert metrics.macro_f1 == pytest.approx(0.4722222)  # (0.75 + 2/3 + 0) / 3
    # -ln of 0.8, 0.5, 0.2, 0.9, 0.8, 0.25 is 0.22314, 0.69315, 1.60944, 0.10536, 0.22314, 1.38629.
    assert metrics.nll == pytest.approx(0.7067550, abs=1e-5)


def test_a_group_is_the_mean_recall_of_its_classes_not_of_its_rows() -> None:
    probabilities = np.eye(2)[[0, 0, 0, 1, 0]]
    labels = np.array([0, 0, 0, 1, 1])  # class 0: 3 of 3, class 1: 1 of 2
    metrics = subset_metrics(probabilities, labels, ("many", "many"))
    assert metrics.many == pytest.approx(0.75)
    assert metrics.accuracy == pytest.approx(0.8)


def test_a_class_without_rows_is_left_out_and_its_group_is_none() -> None:
    probabilities = np.eye(3)[[0, 2, 1, 1]]  # row 1 is taken for the class that has no rows
    labels = np.array([0, 0, 1, 1])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        metrics = subset_metrics(probabilities, labels, SHOTS)
    assert metrics.few is None
    assert metrics.balanced_accuracy == pytest.approx(0.75)  # (1/2 + 1) / 2
    assert metrics.macro_f1 == pytest.approx(0.8333333)  # (2/3 + 1) / 2


def test_without_rows_everything_is_none() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        metrics = subset_metrics(np.zeros((0, 3)), np.zeros(0, np.int64), SHOTS)
    assert metrics.rows == 0
    assert set(metrics.model_dump(exclude={"rows"}).values()) == {None}


def test_confusion_has_true_classes_in_rows_and_predicted_ones_in_columns() -> None:
    counts = confusion(PROBABILITIES, LABELS)
    assert counts.tolist() == [[3, 1, 0], [0, 1, 0], [1, 0, 0]]
    assert confusion(np.zeros((0, 2)), np.zeros(0, np.int64)).tolist() == [[0, 0], [0, 0]]


def test_recall_of_a_class_without_rows_is_nan() -> None:
    recall = recall_by_class(np.array([[1, 3], [0, 0]]))
    assert recall[0] == 0.25
    assert np.isnan(recall[1])


def test_a_certain_mistake_costs_a_finite_likelihood() -> None:
    assert nll(np.array([[1.0, 0.0]]), np.array([1])) == pytest.approx(27.6310211)  # -ln 1e-12


def test_calibration_error_is_the_weighted_gap_of_the_bins() -> None:
    probabilities = np.array([[0.6, 0.4], [0.6, 0.4], [0.6, 0.4], [0.9, 0.1]])
    labels = np.array([0, 1, 1, 0])
    # Two bins: 0.6 three times with 1 right (gap 0.26667), 0.9 once and right (gap 0.1).
    curve = reliability(probabilities, labels, bins=2)
    assert curve.rows.tolist() == [3, 1]
    assert curve.confidence == pytest.approx([0.6, 0.9])
    assert curve.accuracy == pytest.approx([1 / 3, 1.0])
    assert ece(probabilities, labels, bins=2) == pytest.approx(0.225)  # (3 * 0.26667 + 0.1) / 4


def test_calibration_bins_hold_equally_many_rows() -> None:
    confidence = np.linspace(0.51, 0.99, 150) ** 2 / 2 + 0.5
    probabilities = np.stack([confidence, 1 - confidence], axis=1)
    curve = reliability(probabilities, np.zeros(150, np.int64))
    assert curve.rows.tolist() == [10] * 15


def test_calibration_does_not_depend_on_the_order_of_rows() -> None:
    rng = np.random.default_rng(0)
    confidence = rng.choice([0.55, 0.75, 1.0], 200)  # many ties
    probabilities = np.stack([confidence, 1 - confidence], axis=1)
    labels = rng.integers(0, 2, 200)
    order = rng.permutation(200)
    assert ece(probabilities, labels) == pytest.approx(ece(probabilities[order], labels[order]), abs=1e-12)


def test_perfectly_calibrated_rows_have_no_calibration_error() -> None:
    probabilities = np.tile([0.75, 0.25], (40, 1))
    labels = np.tile([0, 0, 0, 1], 10)
    assert ece(probabilities, labels) == pytest.approx(0.0)


def test_auroc_is_the_share_of_pairs_in_order() -> None:
    # Right: 0.9, 0.4; wrong: 0.5, 0.4. Pairs: 0.9 beats both, 0.4 loses one and ties one: 2.5 of 4.
    hits = np.array([True, True, False, False])
    assert auroc(np.array([0.9, 0.4, 0.5, 0.4]), hits) == pytest.approx(0.625)


@pytest.mark.parametrize(
    "hits", [[True, True], [False, False], []], ids=["all right", "all wrong", "no rows"]
)
def test_auroc_of_one_kind_is_none(hits: list[bool]) -> None:
    assert auroc(np.linspace(0, 1, len(hits)), np.array(hits, bool)) is None


@pytest.mark.parametrize(
    ("hits", "rows", "low", "high"),
    [(8, 10, 0.4902, 0.9433), (0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0)],
)
def test_wilson_interval_has_the_textbook_values(hits: int, rows: int, low: float, high: float) -> None:
    assert wilson_interval(hits, rows) == pytest.approx((low, high), abs=1e-4)
