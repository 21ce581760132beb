"""Resampling of test rows to other class frequencies."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

IMBALANCE_RATIO = 10
SHIFTS = {"shift_long": -1, "shift_uniform": 0, "shift_inverse": 1}  # sign of the exponent


def draw_shifted_rows(
    labels: NDArray[np.int64], train_counts: Sequence[int], condition: str, random: np.random.Generator
) -> NDArray[np.int64]:
    """Draw about as many rows as there are labels (N,), with other class frequencies. Return their indices.

    The frequency of class k of K, sorted by falling training count, is proportional to 10 ** (-k / (K - 1));
    uniform frequencies are equal, inverse ones rise. No row repeats before all rows of its class are drawn.
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
