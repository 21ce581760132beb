"""Explanations: the contribution of each present modality to an answer, and the answers without each.

Letters: M modalities that a sample has, S a subset of them, v(S) the probability of the winning class when
only S is sent. v of none is the prior's: what the model says when it knows nothing.

    contribution_m = sum over S without m of |S|! (M - |S| - 1)! / M! (v(S + m) - v(S))    (Shapley 1953)

They sum to v(all) - v(none). It is also the mean of what m adds over all orders in which modalities become
known; with more than MAX_EXACT modalities orders are sampled, each with its reverse (Mitchell et al. 2022).
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, islice
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tailfuse_service.bundle import ClassPrior, Prediction, Sample
from tailfuse_service.bundle.answer import DIGITS
from tailfuse_service.bundle.shapley import (
    MAX_EXACT,
    PAIRS,
    Order,
    compute_shapley,
    estimate_shapley,
    remove_modality,
    walk_order,
)
from tailfuse_service.inference.requested import Subset, add_prior

Floats = NDArray[np.float64]


class Explained(NamedTuple):
    """One sample's answer and its explanation."""

    prediction: Prediction
    explanation: dict[str, Any]


class Plan(NamedTuple):
    """The rows that explain one sample's answer. Bit m of a subset stands for the m-th modality."""

    sample: Sample
    prior: ClassPrior | None  # that the request names
    modalities: tuple[str, ...]  # (M,), those that the sample has
    orders: tuple[Order, ...]  # each followed by its reverse; none if all subsets are run
    subsets: tuple[int, ...]  # the whole sample first

    def rows(self) -> list[Sample]:
        """Return one row for each subset."""
        return [add_prior(self.sample, self.prior), *map(self._part, self.subsets[1:])]

    def _part(self, subset: int) -> Subset:
        names = [name for m, name in enumerate(self.modalities) if subset >> m & 1]
        return Subset({name: self.sample[name] for name in names}, self.prior)


def make_plan(sample: Sample, modalities: Iterable[str], prior: ClassPrior | None = None) -> Plan:
    """Return the plan of a sample; `modalities` are those of the model, in its order."""
    present = tuple(name for name in modalities if name in sample)
    n = len(present)
    whole = 2**n - 1
    if n <= MAX_EXACT:
        return Plan(sample, prior, present, (), tuple(range(whole, 0, -1)))
    random = np.random.default_rng(make_seed(sample, present))
    drawn = [tuple(random.permutation(n).tolist()) for _ in range(PAIRS)]
    orders = tuple(chain.from_iterable((order, order[::-1]) for order in drawn))
    subsets = {subset for order in orders for subset in walk_order(order)}
    subsets |= {1 << m for m in range(n)} | {remove_modality(m, whole) for m in range(n)}
    return Plan(sample, prior, present, orders, tuple(sorted(subsets - {0}, reverse=True)))


def make_plans(
    samples: Iterable[Sample | Exception], modalities: Iterable[str], prior: ClassPrior | None
) -> list[Plan | Exception]:
    """Return the plan of each sample, or the error that is in its place."""
    names = list(modalities)
    return [each if isinstance(each, Exception) else make_plan(each, names, prior) for each in samples]


def make_explanations(
    plans: Iterable[Plan | Exception],
    answers: Iterable[Prediction | BaseException],
    prior: Mapping[str, float],
) -> list[Explained | BaseException]:
    """Return each item's explanation, or its first error; `answers` are to the plans' rows, in order."""
    results: list[Explained | BaseException] = []
    rest = iter(answers)
    for plan in plans:
        if isinstance(plan, Exception):
            results.append(plan)
            continue
        own = list(islice(rest, len(plan.subsets)))
        failed = [each for each in own if isinstance(each, BaseException)]
        predictions = [each for each in own if isinstance(each, Prediction)]
        results.append(failed[0] if failed else make_explanation(plan, predictions, prior))
    return results


def make_explanation(plan: Plan, predictions: Sequence[Prediction], prior: Mapping[str, float]) -> Explained:
    """Return the explanation. `predictions` answer the plan's rows; `prior` has the share of each class."""
    answers = dict(zip(plan.subsets, predictions, strict=True))
    label = predictions[0].labels[0]
    values = {0: prior[label]} | {subset: find_probability(label, each) for subset, each in answers.items()}
    n, whole = len(plan.modalities), plan.subsets[0]
    errors: Floats | None = None
    if plan.orders:
        contributions, errors = estimate_shapley(plan.orders, values)
    else:
        contributions = compute_shapley(np.array([values[subset] for subset in range(2**n)]))
    alone = [describe_part(answers[1 << m], label) for m in range(n)]
    others = [answers.get(remove_modality(m, whole)) for m in range(n)]

    def by_modality(each: Iterable[Any]) -> dict[str, Any]:
        return dict(zip(plan.modalities, each, strict=True))

    return Explained(
        predictions[0],
        {
            "prior": round(prior[label], DIGITS),
            "contributions": by_modality(round_steps(prior[label], contributions)),
            "method": "exact" if errors is None else "sampled",
            "standard_errors": None if errors is None else by_modality(errors.round(DIGITS).tolist()),
            "without": by_modality(None if each is None else describe_part(each, label) for each in others),
            "alone": by_modality(alone),
            "disagree": len({each["label"] for each in alone}) > 1,
        },
    )


def describe_part(prediction: Prediction, label: str) -> dict[str, Any]:
    """Return the answer to a subset, and its probability of the winning class."""
    return {
        "label": prediction.labels[0],
        "probability": prediction.probabilities[0],
        "probability_of_winner": find_probability(label, prediction),
    }


def find_probability(label: str, prediction: Prediction) -> float:
    """Return the probability of a class."""
    return prediction.probabilities[prediction.labels.index(label)]


def round_steps(start: float, steps: Floats) -> list[float]:
    """Return the differences of the rounded sums. Unlike rounded steps, they add up exactly."""
    sums: Floats = np.cumsum([start, *steps]).round(DIGITS)
    return np.diff(sums).round(DIGITS).tolist()  # type: ignore[no-any-return]


def make_seed(sample: Sample, modalities: Iterable[str]) -> int:
    """Return a seed from the sample's values, so that equal samples have equal explanations."""
    digest = hashlib.blake2b(digest_size=8)
    for name in modalities:
        array = sample[name]
        digest.update(f"{name} {array.dtype} {array.shape} ".encode())
        digest.update(array.tobytes())
    return int.from_bytes(digest.digest(), "big")
