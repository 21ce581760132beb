"""Test rows drawn anew so that their classes are as frequent as elsewhere."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

IMBALANCE_RATIO = 10
SHIFTS = {"shift_long": -1, "shift_uniform": 0, "shift_inverse": 1}  # the sign of the tail's exponent


def shifted(
    labels: NDArray[np.int64], train_counts: Sequence[int], condition: str, random: np.random.Generator
) -> NDArray[np.int64]:
    """As many rows as there are labels (N,), give or take a rounding, with another share of each class.

    Of class k of K in the order of the training counts, most first, the share goes with 10 ** (-k / (K - 1));
    uniform shares are alike, inverse ones rise. No row is drawn again before all of its class have been.
    """
    counts = np.asarray(train_counts)
    rank = np.empty(len(counts), np.int64)
    rank[np.lexsort((random.permutation(len(counts)), -counts))] = np.arange(len(counts))
    has = np.bincount(labels, minlength=len(counts)) > 0
    share = has * float(IMBALANCE_RATIO) ** (SHIFTS[condition] * rank / (len(counts) - 1))
    wanted = np.maximum(has, np.round(len(labels) * share / share.sum())).astype(np.int64)
    drawn = [
        np.resize(random.permutation(np.flatnonzero(labels == code)), n) for code, n in enumerate(wanted) if n
    ]
    return np.concatenate(drawn)
