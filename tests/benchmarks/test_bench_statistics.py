"""Paired tests, Holm's correction and the signed-rank test, against numbers worked out by hand."""

import pytest
from tailfuse_bench.statistics import (
    Comparison,
    compare_families,
    holm,
    paired_t_test,
    signed_rank,
    smallest_signed_rank_p,
    summarise,
)


def test_the_paired_test_is_that_of_the_textbook() -> None:
    """Mean 3, sd 1.5811, standard error 0.7071, t = 4.2426 with 4 degrees of freedom; t_0.975 = 2.7764."""
    test = paired_t_test([1.0, 2.0, 3.0, 4.0, 5.0])
    assert (test.n, test.mean) == (5, 3.0)
    assert test.half_interval == pytest.approx(2.7764 * 0.70711, abs=1e-3)
    assert test.p == pytest.approx(0.01324, abs=1e-4)
    assert test.holm is None


@pytest.mark.parametrize(
    "differences",
    [[0.2], [0.1, 0.1, 0.1], [0.0, 0.0], [0.1 + 0.2, 0.3]],
    ids=["one", "equal", "none", "rounding"],
)
def test_where_there_is_no_spread_there_is_no_test(differences: list[float]) -> None:
    test = paired_t_test(differences)
    assert test.mean == pytest.approx(differences[0])
    assert (test.half_interval, test.p) == (None, None)
    assert test.verdict == "tie"


def test_holm_steps_down_from_the_smallest() -> None:
    """0.005 x 4, 0.01 x 3, 0.03 x 2, and 0.04 x 1 raised to the 0.06 before it."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_holm_never_exceeds_one_and_keeps_ties_equal() -> None:
    assert holm([0.5, 0.5, 0.9]) == pytest.approx([1.0, 1.0, 1.0])
    assert holm([]) == []


def test_what_cannot_be_tested_still_counts_as_a_comparison() -> None:
    assert holm([0.01, None, 0.02]) == [pytest.approx(0.03), None, pytest.approx(0.04)]


def test_a_family_is_corrected_together_and_leaves_out_what_has_no_pairs() -> None:
    tests = compare_families(
        {"a": [1.0, 1.1, 0.9, 1.0], "b": [-1.0, -1.1, -0.9, -1.0], "c": [0.3, -0.2, 0.1], "d": []}
    )
    assert list(tests) == ["a", "b", "c"]
    assert [test.verdict for test in tests.values()] == ["win", "loss", "tie"]
    assert tests["a"].holm == pytest.approx(3 * paired_t_test([1.0, 1.1, 0.9, 1.0]).p)  # type: ignore[operator]


@pytest.mark.parametrize(
    ("mean", "p", "verdict"),
    [(1.0, 0.049, "win"), (-1.0, 0.049, "loss"), (1.0, 0.05, "tie"), (1.0, None, "tie")],
)
def test_only_a_significant_difference_is_won_or_lost(mean: float, p: float | None, verdict: str) -> None:
    assert Comparison(5, mean, 0.1, 0.001, p).verdict == verdict


def test_eight_sets_of_one_sign_give_the_smallest_signed_rank_p() -> None:
    assert signed_rank([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8]) == pytest.approx(2 / 2**8)
    assert smallest_signed_rank_p(8) == pytest.approx(2 / 2**8)


def test_the_signed_rank_test_is_exact() -> None:
    """The negative ranks sum to 1; of the 16 sign patterns 2 have at most that, and 2 on the other side."""
    assert signed_rank([-0.1, 0.2, 0.3, 0.4]) == pytest.approx(0.25)


def test_differences_of_zero_have_no_sign() -> None:
    assert signed_rank([0.0, 0.1, 0.2, 0.3, 0.0]) == signed_rank([0.1, 0.2, 0.3]) == pytest.approx(0.25)
    assert signed_rank([0.0, 0.0]) is None
    assert signed_rank([]) is None


def test_one_value_has_no_standard_deviation() -> None:
    assert summarise([]) is None
    one, two = summarise([0.5]), summarise([0.4, 0.6])
    assert one
    assert one.sd is None
    assert two
    assert two.mean == pytest.approx(0.5)
    assert two.sd == pytest.approx(0.1414, abs=1e-4)
