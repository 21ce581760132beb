"""Which columns are taken as logarithms."""

import numpy as np
import pytest
from tailfuse.modalities.tabular.skew import MIN_VALUES, choose_log_unit
from tailfuse_service.modalities.tabular import NumberColumn, example_cell, standardise

RANDOM = np.random.default_rng(0)
AMOUNTS = np.exp(RANDOM.normal(4, 2, 2000))


COUNTS = RANDOM.poisson(RANDOM.gamma(0.2, 20, 2000)).astype(float)
BOTH_SIDES = RANDOM.standard_t(1.2, 2000)


def test_the_unit_of_counts_is_their_median() -> None:
    assert choose_log_unit(COUNTS) == np.median(COUNTS[COUNTS > 0])


def test_amounts_of_many_orders_of_magnitude_have_a_smaller_unit() -> None:
    """asinh is a line below the unit; a tenth of the amounts may lie there, not half of them."""
    unit = choose_log_unit(AMOUNTS)
    assert unit == pytest.approx(np.quantile(AMOUNTS, 0.1), rel=0.1)
    median = np.median(AMOUNTS)
    low, high = np.arcsinh(median / 10 / unit), np.arcsinh(median / unit)  # a factor of 10, below the median
    assert high - low > 0.8 * np.log(10)
    assert np.arcsinh(1) - np.arcsinh(0.1) < 0.4 * np.log(10)  # as it was with the median as the unit


def test_rounding_errors_beside_amounts_are_not_magnified() -> None:
    errors = RANDOM.normal(0, 1e-12, 1000)
    unit = choose_log_unit(np.concatenate([errors, AMOUNTS]))
    assert unit is not None
    assert unit > 1e-3


def test_zeros_do_not_count_for_the_unit() -> None:
    mostly_zero = np.concatenate([np.zeros(6000), AMOUNTS])
    assert choose_log_unit(mostly_zero) == pytest.approx(np.median(AMOUNTS))


def test_heavy_tails_on_both_sides_are_logarithms_though_they_are_not_skewed() -> None:
    numbers = np.concatenate([BOTH_SIDES, -BOTH_SIDES])
    assert np.mean((numbers / numbers.std()) ** 3) == pytest.approx(0, abs=1e-6)
    assert choose_log_unit(numbers) is not None


@pytest.mark.parametrize("sign", [1, -1])
def test_the_sign_and_the_measure_do_not_matter(sign: float) -> None:
    expected = choose_log_unit(AMOUNTS)
    assert expected is not None
    assert choose_log_unit(sign * 1e-6 * AMOUNTS) == pytest.approx(1e-6 * expected)


@pytest.mark.parametrize(
    "numbers",
    [
        RANDOM.normal(5, 2, 2000),
        RANDOM.random(2000),
        RANDOM.laplace(size=2000),
        RANDOM.exponential(size=2000),
        np.full(2000, 7.0),
        (np.arange(2000) < 20).astype(float),  # one bit has no orders of magnitude
        1e6 + AMOUNTS / AMOUNTS.max(),  # logarithms do not help far from 0
        AMOUNTS[: MIN_VALUES - 1],
        AMOUNTS * 1e-200,
        AMOUNTS * 1e300,
        np.array([]),
    ],
    ids=[
        "normal",
        "uniform",
        "laplace",
        "exponential",
        "constant",
        "a bit",
        "far from 0",
        "few",
        "tiny",
        "huge",
        "none",
    ],
)
def test_other_columns_stay_as_they_are(numbers: np.ndarray) -> None:
    assert choose_log_unit(numbers) is None


def test_an_example_is_a_number_of_the_column_again() -> None:
    column = NumberColumn(name="amount", mean=2.0, scale=0.5, log_unit=50.0)
    example = example_cell(column)
    assert isinstance(example, float)
    assert standardise(column, example) == pytest.approx(0.0, abs=1e-3)


@pytest.mark.parametrize("wrong", [{"log_unit": 0.0}, {"log_unit": 1e-200}, {"log_unit": 1.0, "mean": 1e3}])
def test_a_manifest_whose_logarithms_no_float_holds_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="log"):
        NumberColumn.model_validate({"name": "amount", "mean": 0.0, "scale": 1.0} | wrong)
