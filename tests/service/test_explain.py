"""Shapley values: their axioms, their definition, and how far sampled ones are off."""

import math
from collections.abc import Mapping
from itertools import permutations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from tailfuse_service.bundle import Bundle, Prediction, Sample
from tailfuse_service.bundle.manifest import Adaptation
from tailfuse_service.bundle.prior import find_graph_shares
from tailfuse_service.bundle.shapley import (
    MAX_EXACT,
    PAIRS,
    compute_shapley,
    estimate_shapley,
    remove_modality,
    walk_order,
)
from tailfuse_service.inference.explanations import Plan, make_explanation, make_plan, round_steps
from tailfuse_service.inference.requested import Subset

from tests.support.bundles import CLASSES

Floats = NDArray[np.float64]


def games(most: int) -> st.SearchStrategy[Floats]:
    """The value of each subset of 1 to `most` modalities."""

    def of(n: int) -> st.SearchStrategy[Floats]:
        return st.lists(st.floats(0, 1), min_size=2**n, max_size=2**n).map(np.array)

    return st.integers(1, most).flatmap(of)


def n_modalities(values: Floats) -> int:
    return len(values).bit_length() - 1


def by_definition(values: Floats) -> Floats:
    """The mean of what each modality adds, over all orders in which they may become known."""
    n = n_modalities(values)
    added = np.zeros(n)
    for order in permutations(range(n)):
        known = 0
        for m in order:
            added[m] += values[known | 1 << m] - values[known]
            known |= 1 << m
    return added / math.factorial(n)


def swapped(subset: int, i: int, j: int) -> int:
    """The subset with j where i was, and i where j was."""
    both = 1 << i | 1 << j
    return subset if subset & both in (0, both) else subset ^ both


@given(games(4))
def test_they_are_what_a_modality_adds_in_the_mean_over_all_orders(values: Floats) -> None:
    np.testing.assert_allclose(compute_shapley(values), by_definition(values), atol=1e-12)


@given(games(6))
def test_they_sum_to_the_difference_from_the_prior(values: Floats) -> None:
    assert compute_shapley(values).sum() == pytest.approx(values[-1] - values[0], abs=1e-12)


@given(games(6), st.data())
def test_modalities_that_say_the_same_contribute_the_same(values: Floats, data: Any) -> None:
    i, j = (data.draw(st.integers(0, n_modalities(values) - 1)) for _ in "ij")
    mirrored = values[[swapped(subset, i, j) for subset in range(len(values))]]
    contributions = compute_shapley((values + mirrored) / 2)
    assert contributions[i] == pytest.approx(contributions[j], abs=1e-12)


@given(games(6), st.data())
def test_a_modality_that_changes_nothing_contributes_nothing(values: Floats, data: Any) -> None:
    m = data.draw(st.integers(0, n_modalities(values) - 1))
    unmoved = values[[remove_modality(m, subset) for subset in range(len(values))]]
    assert compute_shapley(unmoved)[m] == pytest.approx(0, abs=1e-12)


@given(games(4))
def test_sampled_ones_over_all_orders_are_the_exact_ones(values: Floats) -> None:
    all_orders = list(permutations(range(n_modalities(values))))
    orders = [each for order in 2 * all_orders for each in (order, order[::-1])]  # twice: one has no error
    contributions, _ = estimate_shapley(orders, dict(enumerate(values.tolist())))
    np.testing.assert_allclose(contributions, compute_shapley(values), atol=1e-12)


@given(st.integers(7, 12), st.integers(0, 10**6))
@settings(max_examples=30)
def test_sampled_ones_sum_to_the_difference_too(n: int, seed: int) -> None:
    plan = make_plan(*get_sample(n, seed))
    random = np.random.default_rng(seed)
    values = {0: 0.1} | {subset: random.random() for subset in plan.subsets}
    contributions, errors = estimate_shapley(plan.orders, values)
    assert contributions.sum() == pytest.approx(values[plan.subsets[0]] - 0.1, abs=1e-12)
    assert (errors >= 0).all()


def test_sampled_ones_are_as_far_off_as_they_say() -> None:
    """Intervals that hold 95% of the time if errors are honest do: Student's t of PAIRS - 1 degrees."""
    n, t = 8, 2.131
    held = []
    for seed in range(150):
        values = evidence(n, seed)
        plan = make_plan(*get_sample(n, seed))
        contributions, errors = estimate_shapley(plan.orders, dict(enumerate(values.tolist())))
        held.append(abs(contributions - compute_shapley(values)) <= t * errors)
    assert PAIRS == 16
    assert 0.92 <= np.mean(held) <= 0.98


def evidence(n: int, seed: int) -> Floats:
    """(2^n,): as models answer. Log-odds of the modalities add up, for some they speak against the class."""
    odds = np.random.default_rng(seed).normal(1, 1.5, n)
    has = np.arange(2**n)[:, None] >> np.arange(n) & 1
    answers: Floats = 1 / (1 + np.exp(2.2 - has @ odds))
    return answers


# --- plans ---


def get_sample(n: int, seed: int = 0) -> tuple[Sample, list[str]]:
    """A sample of n modalities, and the modalities of its model, which has two more."""
    names = [f"m{at}" for at in range(n)]
    random = np.random.default_rng(seed)
    return {name: random.normal(size=3) for name in reversed(names)}, ["other", *names, "another"]


@pytest.mark.parametrize("n", range(1, MAX_EXACT + 1))
def test_up_to_six_modalities_every_subset_is_run_once(n: int) -> None:
    plan = make_plan(*get_sample(n))
    assert sorted(plan.subsets) == list(range(1, 2**n))
    assert plan.subsets[0] == 2**n - 1
    assert plan.orders == ()


@pytest.mark.parametrize("n", [7, 8, 20, 70])
def test_of_more_modalities_orders_are_drawn_each_with_its_reverse(n: int) -> None:
    plan = make_plan(*get_sample(n))
    assert len(plan.orders) == 2 * PAIRS
    assert [order[::-1] for order in plan.orders[::2]] == list(plan.orders[1::2])
    assert all(sorted(order) == list(range(n)) for order in plan.orders)
    whole = 2**n - 1
    needed = {subset for order in plan.orders for subset in walk_order(order)} - {0}
    needed |= {1 << m for m in range(n)} | {whole ^ 1 << m for m in range(n)}
    assert plan.subsets[0] == whole
    assert sorted(plan.subsets) == sorted(needed)


def test_the_same_sample_has_the_same_plan_and_another_one_another() -> None:
    plan, again, other = (make_plan(*get_sample(9, seed)) for seed in (0, 0, 1))
    assert plan.orders == again.orders != other.orders


def test_the_rows_are_the_sample_itself_and_parts_of_it() -> None:
    sample, modalities = get_sample(3)
    plan = make_plan(sample, modalities)
    first, *rest = plan.rows()
    assert first is sample
    assert all(type(row) is Subset for row in rest)
    assert sorted("+".join(row) for row in rest) == ["m0", "m0+m1", "m0+m2", "m1", "m1+m2", "m2"]
    for row in rest:
        assert all(row[name] is sample[name] for name in row)


# --- explanations ---


def told(plan: Plan, answers: Mapping[int, tuple[float, ...]], prior: float = 1 / 3) -> Any:
    """The explanation where subsets are answered with these probabilities of CLASSES."""
    predictions = []
    for subset in plan.subsets:
        order = sorted(range(len(CLASSES)), key=lambda at: -answers[subset][at])
        labels, probabilities = [CLASSES[at] for at in order], [answers[subset][at] for at in order]
        predictions.append(Prediction(labels, probabilities, [], [], []))
    return make_explanation(plan, predictions, dict.fromkeys(CLASSES, prior)).explanation


def test_of_one_modality_the_contribution_is_everything() -> None:
    explanation = told(make_plan(*get_sample(1)), {1: (0.1, 0.7, 0.2)})
    assert explanation == {
        "prior": 0.333333,
        "contributions": {"m0": 0.366667},
        "method": "exact",
        "standard_errors": None,
        "without": {"m0": None},
        "alone": {"m0": {"label": "mel", "probability": 0.7, "probability_of_winner": 0.7}},
        "disagree": False,
    }


def test_of_two_modalities_that_disagree() -> None:
    answers = {1: (0.6, 0.3, 0.1), 2: (0.2, 0.2, 0.6), 3: (0.5, 0.1, 0.4)}
    explanation = told(make_plan(*get_sample(2)), answers)
    # (0.6 - 1/3 + 0.5 - 0.2) / 2 and (0.2 - 1/3 + 0.5 - 0.6) / 2
    assert explanation["contributions"] == pytest.approx({"m0": 0.283333, "m1": -0.116667}, abs=1.1e-6)
    assert explanation["without"] == {
        "m0": {"label": "bkl", "probability": 0.6, "probability_of_winner": 0.2},
        "m1": {"label": "nv", "probability": 0.6, "probability_of_winner": 0.6},
    }
    others = explanation["without"]
    assert explanation["alone"] == {"m0": others["m1"], "m1": others["m0"]}
    assert explanation["disagree"] is True


@given(st.floats(0, 1), st.lists(st.floats(-1, 1), min_size=1, max_size=30))
def test_rounded_contributions_still_add_up_to_the_last_digit(start: float, steps: list[float]) -> None:
    rounded = round_steps(start, np.array(steps))
    assert round(start, 6) + sum(rounded) == pytest.approx(start + sum(steps), abs=6e-7)
    np.testing.assert_allclose(rounded, steps, atol=1.1e-6)


def test_who_knows_nothing_holds_all_classes_for_alike(bundle: Bundle) -> None:
    assert find_graph_shares(bundle.manifest) == dict.fromkeys(CLASSES, 1 / 3)


def test_who_knows_nothing_of_an_adapted_bundle_answers_its_shares(bundle: Bundle) -> None:
    shares = {"nv": 0.7, "mel": 0.2, "bkl": 0.1}
    adaptation = Adaptation(
        prior=shares, shifted=True, p_value=0.001, rows=500, table_sha256="", before=None, after=None
    )
    assert find_graph_shares(bundle.manifest.model_copy(update={"adaptation": adaptation})) == shares
