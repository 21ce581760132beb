"""Scores by class: against scikit-learn, with intervals that hold what they promise."""

import numpy as np
import pytest
from sklearn.metrics import precision_recall_fscore_support
from tailfuse.evaluation.class_scores import score_class, score_classes


def test_the_figures_are_scikit_learn_s() -> None:
    random = np.random.default_rng(0)
    true, predicted = random.integers(0, 5, (2, 300))
    confusion = np.zeros((5, 5), np.int64)
    np.add.at(confusion, (true, predicted), 1)
    expected = np.array(precision_recall_fscore_support(true, predicted)[:3]).T
    scores = score_classes(confusion)
    assert np.array([[each and each.value for each in row] for row in scores]) == pytest.approx(expected)
    assert all(each and 0 <= each.low <= each.value <= each.high <= 1 for row in scores for each in row)


def test_a_class_without_rows_or_answers_has_no_score() -> None:
    assert score_class(0, 0, 0) == (None, None, None)
    never_answered = score_class(0, 3, 0)
    assert never_answered.precision is None
    assert never_answered.recall is not None
    assert never_answered.f1 is not None
    assert never_answered.recall.value == never_answered.f1.value == 0.0
    wrongly_answered = score_class(0, 0, 2)
    assert wrongly_answered.f1 is None
    assert wrongly_answered.precision is not None
    assert wrongly_answered.precision.value == 0.0


def test_the_interval_of_f1_covers_the_true_value() -> None:
    """Of 2000 drawn tables about 95 % have the true F1, 0.75, within their interval."""
    random = np.random.default_rng(1)
    hits, misses, alarms, _ = random.multinomial(60, [0.3, 0.1, 0.1, 0.5], size=2000).T
    covered = []
    for hit, miss, alarm in zip(hits.tolist(), misses.tolist(), alarms.tolist(), strict=True):
        f1 = score_class(hit, hit + miss, hit + alarm).f1
        assert f1 is not None
        covered.append(f1.low <= 0.75 <= f1.high)
    assert 0.93 < np.mean(covered) < 0.97
