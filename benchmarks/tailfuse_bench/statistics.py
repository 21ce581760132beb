"""Paired tests over seeds and over sets. What cannot be tested has no p, and None says so."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np
from scipy import stats

LEVEL = 0.05  # of every test
SPREADLESS = 1e-12  # differences that vary less than this are equal but for rounding
Key = TypeVar("Key")


@dataclass(frozen=True, slots=True)
class Spread:
    """Mean and sample standard deviation; `sd` is None for one value."""

    mean: float
    sd: float | None
    n: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """A mean of `n` paired differences, ours minus theirs.

    `reach` is half of its 95 % t-interval, `p` of the paired t-test, two-sided, `holm` the p corrected over
    the family it was compared in. All three are None where there is no test: one pair, or equal differences.
    """

    n: int
    mean: float
    reach: float | None = None
    p: float | None = None
    holm: float | None = None

    @property
    def verdict(self) -> Literal["win", "tie", "loss"]:
        """A win and a loss are significant after the correction; all else is a tie."""
        if self.holm is None or self.holm >= LEVEL:
            return "tie"
        return "win" if self.mean > 0 else "loss"


def spread(values: Sequence[float]) -> Spread | None:
    """None if there are no values."""
    if not values:
        return None
    sd = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return Spread(float(np.mean(values)), sd, len(values))


def paired(differences: Sequence[float]) -> Comparison:
    """The paired t-test of at least one difference, uncorrected."""
    n, mean = len(differences), float(np.mean(differences))
    if n < 2 or np.ptp(differences) < SPREADLESS:
        return Comparison(n, mean)
    test = stats.ttest_1samp(differences, 0.0)
    interval = test.confidence_interval(1 - LEVEL)
    return Comparison(n, mean, float(interval.high - interval.low) / 2, float(test.pvalue))


def compared(families: Mapping[Key, Sequence[float]]) -> dict[Key, Comparison]:
    """The comparisons of one family, Holm-corrected together, by key; keys without pairs are left out."""
    tests = {key: paired(differences) for key, differences in families.items() if differences}
    corrected = holm([test.p for test in tests.values()])
    return {
        key: Comparison(test.n, test.mean, test.reach, test.p, p)
        for (key, test), p in zip(tests.items(), corrected, strict=True)
    }


def holm(ps: Sequence[float | None]) -> list[float | None]:
    """Holm's step-down correction (1979) over all of `ps`.

    One that could not be tested stays None and still counts as a comparison, as if its p were 1.
    """
    order = sorted((p, at) for at, p in enumerate(ps) if p is not None)
    corrected: list[float | None] = [None] * len(ps)
    largest = 0.0
    for rank, (p, at) in enumerate(order):
        largest = max(largest, min(1.0, (len(ps) - rank) * p))
        corrected[at] = largest
    return corrected


def signed_rank(differences: Sequence[float]) -> float | None:
    """Two-sided p of Wilcoxon's signed-rank test; None where all differences are zero, or none is there."""
    moved = [difference for difference in differences if abs(difference) > SPREADLESS]
    return float(stats.wilcoxon(moved).pvalue) if moved else None


def smallest_signed_rank_p(n: int) -> float:
    """What the signed-rank test of `n` pairs gives when all have the same sign: it cannot be smaller."""
    return min(1.0, 2.0 ** (1 - n))
