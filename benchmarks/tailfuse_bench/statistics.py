"""Paired tests over seeds and over datasets. A p of None means that no test is possible."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np
from scipy import stats

LEVEL = 0.05  # significance level of every test
MIN_SPREAD = 1e-12  # differences with a smaller range are equal up to rounding
Key = TypeVar("Key")


@dataclass(frozen=True, slots=True)
class Spread:
    """Mean and sample standard deviation; `sd` is None for one value."""

    mean: float
    sd: float | None
    n: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """Mean of `n` paired differences, ours minus theirs.

    `half_interval` is half of its 95 % t-interval, `p` of the paired t-test, two-sided, `holm` the p
    corrected over the family it was compared in. All three are None where there is no test: one pair, or
    equal differences.
    """

    n: int
    mean: float
    half_interval: float | None = None
    p: float | None = None
    holm: float | None = None

    @property
    def verdict(self) -> Literal["win", "tie", "loss"]:
        """A win and a loss are significant after the correction; everything else is a tie."""
        if self.holm is None or self.holm >= LEVEL:
            return "tie"
        return "win" if self.mean > 0 else "loss"


def summarise(values: Sequence[float]) -> Spread | None:
    """Return mean and standard deviation; None without values."""
    if not values:
        return None
    sd = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return Spread(float(np.mean(values)), sd, len(values))


def paired_t_test(differences: Sequence[float]) -> Comparison:
    """Run an uncorrected paired t-test on at least one difference."""
    n, mean = len(differences), float(np.mean(differences))
    if n < 2 or np.ptp(differences) < MIN_SPREAD:
        return Comparison(n, mean)
    test = stats.ttest_1samp(differences, 0.0)
    interval = test.confidence_interval(1 - LEVEL)
    return Comparison(n, mean, float(interval.high - interval.low) / 2, float(test.pvalue))


def compare_families(families: Mapping[Key, Sequence[float]]) -> dict[Key, Comparison]:
    """Compare one family with Holm's correction. Keys without pairs are left out."""
    tests = {key: paired_t_test(differences) for key, differences in families.items() if differences}
    corrected = holm([test.p for test in tests.values()])
    return {
        key: Comparison(test.n, test.mean, test.half_interval, test.p, p)
        for (key, test), p in zip(tests.items(), corrected, strict=True)
    }


def holm(ps: Sequence[float | None]) -> list[float | None]:
    """Apply Holm's step-down correction (1979) to all of `ps`.

    None stays None and counts as a comparison with p = 1.
    """
    order = sorted((p, at) for at, p in enumerate(ps) if p is not None)
    corrected: list[float | None] = [None] * len(ps)
    largest = 0.0
    for rank, (p, at) in enumerate(order):
        largest = max(largest, min(1.0, (len(ps) - rank) * p))
        corrected[at] = largest
    return corrected


def signed_rank(differences: Sequence[float]) -> float | None:
    """Return the two-sided p of Wilcoxon's signed-rank test; None without differences other than zero."""
    moved = [difference for difference in differences if abs(difference) > MIN_SPREAD]
    return float(stats.wilcoxon(moved).pvalue) if moved else None


def smallest_signed_rank_p(n: int) -> float:
    """Return the smallest p of a signed-rank test on `n` pairs, when all differences have the same sign."""
    return min(1.0, 2.0 ** (1 - n))
