"""The class prior of rows without labels."""

from importlib.resources import files

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tailfuse.evaluation.metrics import nll
from tailfuse.evaluation.prior import (
    Prior,
    estimate_prior,
    expectation_maximisation,
    make_direction,
    mean_answers,
    reweighted,
    tilt_shares,
)

Array = NDArray[np.float64]
N_CLASSES = 4
UNIFORM = np.full(N_CLASSES, 1 / N_CLASSES)
LONG_TAIL = np.array([0.6, 0.25, 0.1, 0.05])
TRAIN_COUNTS = (200, 60, 20, 5)


def drawn(shares: Array, n: int, seed: int, bias: Array | float = 1.0) -> tuple[Array, NDArray[np.int64]]:
    """Rows of four overlapping normal classes: exact answers under equal shares, times a bias; labels."""
    random = np.random.default_rng(seed)
    labels = random.choice(N_CLASSES, n, p=shares)
    centres = np.array([[0, 0], [1.6, 0], [0, 1.6], [1.6, 1.6]])
    points = centres[labels] + random.normal(size=(n, 2))
    density = np.exp(-0.5 * ((points[:, None] - centres) ** 2).sum(-1))
    return reweighted(density, bias * np.ones(N_CLASSES)), labels


def estimated(shares: Array, n: int, seed: int, bias: Array | float = 1.0) -> Prior:
    held_out = mean_answers(*drawn(UNIFORM, 800, seed + 1000, bias))
    return estimate_prior(drawn(shares, n, seed, bias)[0], held_out, TRAIN_COUNTS)


def test_em_finds_the_maximum_that_can_be_computed_by_hand() -> None:
    # log(0.1 + 0.8 q) + log(0.8 - 0.6 q) is largest where 0.8 (0.8 - 0.6 q) = 0.6 (0.1 + 0.8 q).
    answers = np.array([[0.9, 0.1], [0.2, 0.8]])
    shares = expectation_maximisation(answers, np.full(2, 1e-9))
    assert shares == pytest.approx([0.58 / 0.96, 0.38 / 0.96], abs=1e-5)


def test_em_counts_sure_answers_and_the_rows_of_its_prior() -> None:
    answers = np.eye(2)[[0, 0, 0, 1]]
    assert expectation_maximisation(answers, np.array([1.0, 3.0])) == pytest.approx([0.5, 0.5])


@pytest.mark.parametrize("shares", [LONG_TAIL, LONG_TAIL[::-1], LONG_TAIL[[2, 0, 3, 1]]])
def test_a_known_prior_is_found(shares: Array) -> None:
    found = estimated(shares, 4000, seed=0)
    assert found.shifted
    assert found.shares == pytest.approx(shares, abs=0.06)


@pytest.mark.parametrize("n", [1, 10, 100, 1000])
def test_rows_of_equally_frequent_classes_change_nothing(n: int) -> None:
    found = [estimated(UNIFORM, n, seed) for seed in range(20)]
    assert sum(each.shifted for each in found) <= 1
    assert all((each.shares == UNIFORM).all() for each in found if not each.shifted)
    assert all(np.abs(each.shares - UNIFORM).max() < 0.08 for each in found)


def test_answers_that_neglect_rare_classes_are_not_taken_for_a_shift() -> None:
    bias = np.array([2.0, 1.0, 0.5, 0.25])
    answers, _ = drawn(UNIFORM, 1000, seed=0, bias=bias)
    taken_at_their_word = expectation_maximisation(answers, np.full(N_CLASSES, 1e-9))
    assert taken_at_their_word[3] < 0.1  # what the comparison with held-out rows is for
    assert not estimated(UNIFORM, 1000, seed=0, bias=bias).shifted
    shares = estimated(LONG_TAIL[::-1], 1000, seed=0, bias=bias).shares
    answers, _ = drawn(LONG_TAIL[::-1], 1000, seed=0, bias=bias)
    taken_at_their_word = expectation_maximisation(answers, np.full(N_CLASSES, 1e-9))
    assert np.abs(shares - LONG_TAIL[::-1]).sum() < 0.5 * np.abs(taken_at_their_word - LONG_TAIL[::-1]).sum()


def test_ten_rows_say_little() -> None:
    for seed in range(20):
        shares = estimated(np.array([0.4, 0.3, 0.2, 0.1]), 10, seed).shares
        assert np.abs(shares - UNIFORM).max() < 0.25
        assert shares.sum() == pytest.approx(1)
        assert shares.min() > 0.02


def test_the_more_the_rows_the_nearer_the_truth() -> None:
    errors = [
        np.mean([np.abs(estimated(LONG_TAIL, n, seed).shares - LONG_TAIL).sum() for seed in range(10)])
        for n in (10, 100, 1000, 10000)
    ]
    assert errors == sorted(errors, reverse=True)


def test_classes_without_a_held_out_row_do_no_harm() -> None:
    answers, labels = drawn(UNIFORM, 100, seed=1)
    kept = labels != 3
    held_out = mean_answers(answers[kept], labels[kept])
    assert held_out.rows[3] == 0
    assert held_out.probabilities[3] == (0, 0, 0, 0)
    assert not estimate_prior(drawn(UNIFORM, 200, seed=0)[0], held_out, TRAIN_COUNTS).shifted


def test_training_counts_that_are_alike_have_no_direction() -> None:
    assert not make_direction(np.array([10, 12, 15])).any()
    x = make_direction(np.array([100, 10, 1]))
    assert x == pytest.approx([1.5**0.5, 0, -(1.5**0.5)])
    assert tilt_shares(0.0, x) == pytest.approx([1 / 3] * 3)
    assert tilt_shares(0.9, x) @ x == pytest.approx(0.9, abs=1e-3)


def test_mean_answers_are_by_true_class() -> None:
    answers = np.array([[0.8, 0.2], [0.6, 0.4], [0.5, 0.5]])
    found = mean_answers(answers, np.array([0, 0, 1]))
    assert found.rows == (2, 1)
    assert found.probabilities == ((0.7, 0.3), (0.5, 0.5))


def test_equal_shares_leave_answers_as_they_are() -> None:
    answers, _ = drawn(UNIFORM, 5, seed=0)
    assert reweighted(answers, UNIFORM) == pytest.approx(answers)
    assert reweighted(reweighted(answers, LONG_TAIL), 1 / LONG_TAIL) == pytest.approx(answers)


def draw_tail(
    labels: NDArray[np.int64], order: NDArray[np.int64], ratio: float, most: int
) -> NDArray[np.int64]:
    """Rows so thinned that the k-th class of the order keeps most * ratio ** (-k / 9) of them."""
    return np.concatenate(
        [
            np.flatnonzero(labels == digit)[: max(1, round(most * ratio ** (-k / 9)))]
            for k, digit in enumerate(order)
        ]
    )


def digits_before_and_after(seed: int) -> dict[str, tuple[float, float, float]]:
    """Gains in accuracy, in balanced accuracy and in NLL on shifted test rows of real digits.

    Moments of the quick-start's digits and a class-balanced logistic regression; training and validation at
    an imbalance ratio of 50.
    """
    with (files("tailfuse.quickstart") / "mfeat.npz").open("rb") as file, np.load(file) as arrays:
        digits, values = arrays["y"].astype(np.int64), np.hstack([arrays["zer"], arrays["mor"]])
    random = np.random.default_rng(seed)
    order = random.permutation(10)
    rows = random.permutation(len(digits))
    train, val, test = rows[:1000], rows[1000:1200], rows[1200:]
    train, val = (part[draw_tail(digits[part], order, 50, most)] for part, most in ((train, 80), (val, 15)))
    network = make_pipeline(
        StandardScaler(), LogisticRegression(C=0.1, class_weight="balanced", max_iter=500)
    )
    network.fit(values[train], digits[train])
    held_out = mean_answers(network.predict_proba(values[val]), digits[val])
    gains = {}
    for name, by, ratio in (("long", order, 50), ("inverse", order[::-1], 50), ("uniform", order, 1)):
        shifted = test[draw_tail(digits[test], by, ratio, 60)]
        before, labels = network.predict_proba(values[shifted]), digits[shifted]
        prior = estimate_prior(before, held_out, np.bincount(digits[train]))
        after = reweighted(before, prior.shares)
        right = [each.argmax(1) == labels for each in (before, after)]
        recall = [np.mean([each[labels == digit].mean() for digit in range(10)]) for each in right]
        gains[name] = (
            float(right[1].mean() - right[0].mean()),
            float(recall[1] - recall[0]),
            nll(before, labels) - nll(after, labels),
        )
    return gains


def test_it_helps_on_shifted_digits_and_does_no_harm_on_others() -> None:
    runs = [digits_before_and_after(seed) for seed in range(5)]
    accuracy, _, likelihood = (
        {name: np.mean([run[name][at] for run in runs]) for name in runs[0]} for at in range(3)
    )
    assert accuracy["long"] > 0
    assert accuracy["inverse"] > 0.04
    assert likelihood["long"] > 0.02
    assert likelihood["inverse"] > 0.1
    assert accuracy["uniform"] > -0.005
    assert likelihood["uniform"] > -0.01
