"""Shapley values of modalities (Shapley 1953), from the values of subsets.

Letters: M modalities, K pairs of orders. Bit m of a subset stands for the m-th modality.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import accumulate
from math import comb, sqrt
from operator import or_

import numpy as np
from numpy.typing import NDArray

MAX_EXACT = 6  # modalities, of which all 2^M - 1 subsets are run
PAIRS = 16  # of orders that are drawn for more

Floats = NDArray[np.float64]
Order = tuple[int, ...]  # of 0..M-1


def compute_shapley(values: Floats) -> Floats:
    """(2^M,), the value of each subset -> (M,)"""
    return shapley_weights(len(values).bit_length() - 1) @ values


@cache
def shapley_weights(n: int) -> Floats:
    """(M, 2^M): how much a subset's value counts for a modality; below 0 if it lacks the modality."""
    weights = np.empty((n, 2**n))
    for m in range(n):
        for subset in range(2**n):
            share = 1 / (n * comb(n - 1, remove_modality(m, subset).bit_count()))
            weights[m, subset] = share if subset >> m & 1 else -share
    return weights


def estimate_shapley(orders: Sequence[Order], values: Mapping[int, float]) -> tuple[Floats, Floats]:
    """(2 K, M), each order followed by its reverse -> the mean and its standard error, (M,) each.

    An order and its reverse are not independent, so that the error is that of the means of pairs.
    """
    # What is gained at each step of an order, put at the modality that came with the step.
    gains = [np.diff([values[subset] for subset in walk_order(order)])[np.argsort(order)] for order in orders]
    pairs = np.reshape(gains, (len(orders) // 2, 2, -1)).mean(axis=1)
    return pairs.mean(axis=0), pairs.std(axis=0, ddof=1) / sqrt(len(pairs))


def walk_order(order: Order) -> Iterator[int]:
    """The subsets that one passes as modalities become known in this order: (M + 1,), the first is empty."""
    return accumulate((1 << m for m in order), or_, initial=0)


def remove_modality(m: int, subset: int) -> int:
    """Return the subset without the m-th modality."""
    return subset & ~(1 << m)
