"""The debiased calibration error: near 0 for calibrated answers, near the truth for others."""

import numpy as np
import pytest
from numpy.typing import NDArray
from tailfuse.evaluation.calibration_error import estimate_calibration_error
from tailfuse.evaluation.metrics import ece

Floats = NDArray[np.float64]


def draw(n_rows: int, seed: int, shift: float = 0.0) -> tuple[Floats, NDArray[np.int64]]:
    """Answers between two classes, whose top label is right `shift` less often than they say."""
    random = np.random.default_rng(seed)
    confidence = random.uniform(0.75, 0.95, n_rows)
    right = random.random(n_rows) < confidence - shift
    return np.stack([confidence, 1 - confidence], axis=1), 1 - right.astype(np.int64)


def test_calibrated_answers_have_hardly_any_error_where_the_plain_ece_has_much() -> None:
    plain = [ece(*draw(80, seed)) for seed in range(100)]
    debiased = [estimate_calibration_error(*draw(80, seed)).value for seed in range(100)]
    assert np.mean(plain) > 0.1
    assert np.mean(debiased) < np.mean(plain) / 2
    assert np.median(debiased) < 0.05


@pytest.mark.parametrize("shift", [0.1, 0.3])
def test_a_known_error_is_found(shift: float) -> None:
    values = [estimate_calibration_error(*draw(1000, seed, shift)).value for seed in range(40)]
    assert np.mean(values) == pytest.approx(shift, abs=0.01)


@pytest.mark.parametrize(("n_rows", "shift"), [(200, 0.2), (1000, 0.1), (1000, 0.0)])
def test_the_interval_covers_the_truth(n_rows: int, shift: float) -> None:
    found = [estimate_calibration_error(*draw(n_rows, seed, shift)) for seed in range(100)]
    assert np.mean([each.low <= shift + 1e-9 and shift <= each.high for each in found]) > 0.85
    assert all(each.low <= each.value <= each.high for each in found)


def test_more_rows_make_it_narrower() -> None:
    few, many = (estimate_calibration_error(*draw(n, 0, 0.1)) for n in (100, 10_000))
    assert many.high - many.low < (few.high - few.low) / 4


def test_answers_that_are_certain_and_right_have_no_error() -> None:
    assert estimate_calibration_error(np.eye(3), np.arange(3)) == (0.0, 0.0, 0.0)


def test_a_single_row_and_equal_rows_have_finite_bounds() -> None:
    for n_rows in (1, 2, 7):
        answers = np.full((n_rows, 3), 1 / 3)
        assert np.isfinite(estimate_calibration_error(answers, np.zeros(n_rows, np.int64))).all()


def test_the_same_rows_give_the_same_interval_in_pieces_too(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = draw(100, 0, 0.1)
    whole = estimate_calibration_error(*answers)
    monkeypatch.setattr("tailfuse.evaluation.calibration_error.MAX_DRAWN_ROWS", 700)
    assert estimate_calibration_error(*answers) == pytest.approx(whole)
