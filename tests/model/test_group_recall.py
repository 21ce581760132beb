"""Recall of class groups, estimated without labels."""

import numpy as np
import pytest
from tailfuse.evaluation.group_recall import estimate_group_recall
from tailfuse_service.bundle.manifest import Shot

SHOTS: tuple[Shot, ...] = ("many", "medium", "few")


def test_sure_and_right_posteriors_give_the_recall_of_the_rows() -> None:
    posteriors = np.eye(3)[[0, 0, 0, 0, 1, 1, 2, 2]]
    found = estimate_group_recall(posteriors, np.array([0, 0, 0, 1, 1, 1, 2, 0]), SHOTS)
    assert found.model_dump() == {"many": 0.75, "medium": 1.0, "few": 0.5}


def test_a_class_without_an_expected_row_has_no_recall() -> None:
    posteriors = np.array([[0.9, 0.1, 0.0]] * 5)
    found = estimate_group_recall(posteriors, np.zeros(5, np.int64), SHOTS)
    assert found.model_dump() == {"many": pytest.approx(1), "medium": None, "few": None}


def test_of_calibrated_posteriors_it_is_about_the_recall_by_labels() -> None:
    random = np.random.default_rng(0)
    posteriors = random.dirichlet([2.0, 1.0, 0.5], size=4000)
    labels = np.array([random.choice(3, p=each) for each in posteriors])
    predicted = posteriors.argmax(axis=1)
    found = estimate_group_recall(posteriors, predicted, SHOTS)
    for code, group in enumerate(SHOTS):
        recall = np.mean(predicted[labels == code] == code)
        assert getattr(found, group) == pytest.approx(recall, abs=0.04)
