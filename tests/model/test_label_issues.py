"""Confident learning: the rows that cleanlab finds, and what it makes of hard cases."""

import numpy as np
import pytest
from numpy.typing import NDArray
from tailfuse.evaluation.label_issues import find_label_issues

N_ROWS, N_CLASSES = 400, 5


def make_noisy_rows(seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """True classes, long-tailed; labels of which a tenth is drawn anew; probabilities."""
    random = np.random.default_rng(seed)
    true = random.choice(N_CLASSES, N_ROWS, p=[0.6, 0.2, 0.1, 0.07, 0.03])
    labels = true.copy()
    noisy = random.random(N_ROWS) < 0.1
    labels[noisy] = random.integers(0, N_CLASSES, noisy.sum())
    logits = np.exp(random.normal(size=(N_ROWS, N_CLASSES)) + 2 * np.eye(N_CLASSES)[true])
    return true, labels, logits / logits.sum(axis=1, keepdims=True)


# Off-diagonal rows of cleanlab 2.9.0: compute_confident_joint(labels, p, calibrate=False,
# return_indices_of_off_diagonals=True).
@pytest.mark.parametrize(("seed", "count"), [(0, 32), (1, 59), (2, 47), (3, 77)])
def test_the_rows_are_cleanlab_s(seed: int, count: int) -> None:
    true, labels, probabilities = make_noisy_rows(seed)
    found = find_label_issues(labels, probabilities)
    assert len(found) == count
    assert (labels != true)[found].mean() > 3 * (labels != true).mean()


def test_the_clearest_come_first() -> None:
    labels = np.array([0, 0, 0, 1, 1, 1])
    first = np.array([0.9, 0.9, 0.02, 0.1, 0.1, 0.7])
    found = find_label_issues(labels, np.stack([first, 1 - first], axis=1))
    assert found.tolist() == [2, 5]


def test_a_class_without_rows_is_nobody_s() -> None:
    """No threshold is known for it, so its probability makes no row suspect."""
    probabilities = np.array([[0.1, 0.1, 0.8], [0.2, 0.1, 0.7], [0.1, 0.6, 0.3]])
    assert find_label_issues(np.array([0, 0, 1]), probabilities).tolist() == []


@pytest.mark.parametrize("n_rows", [0, 1, 3])
def test_certain_and_few_rows_are_not_suspect(n_rows: int) -> None:
    labels = np.zeros(n_rows, np.int64)
    assert find_label_issues(labels, np.tile(np.eye(2, dtype=np.float32)[0], (n_rows, 1))).tolist() == []


def test_a_rare_class_is_compared_with_its_own_rows() -> None:
    """The rare class is at most 0.4 probable among its own rows, so 0.4 elsewhere is enough."""
    labels = np.array([0] * 8 + [1] * 2)
    rare = np.array([0.1] * 7 + [0.45] + [0.4, 0.4])
    assert find_label_issues(labels, np.stack([1 - rare, rare], axis=1)).tolist() == [7]
