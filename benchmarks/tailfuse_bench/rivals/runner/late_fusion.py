"""Late fusion: log-probabilities of the modalities, each times a share, added.

Letters: N rows, M modalities, C classes.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import log_softmax

MIN_PROBABILITY = 1e-12  # of a class that a classifier has not seen, or holds for impossible


def fuse(
    stacked: NDArray[np.float64], shares: NDArray[np.float64], presence: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Return fused log-probabilities: (N, M, C), (M,), (N, M) -> (N, C)"""
    fused: NDArray[np.float64] = log_softmax(np.einsum("nmc,nm->nc", stacked, shares * presence), axis=1)
    return fused


def choose_shares(
    stacked: NDArray[np.float64],
    presence: NDArray[np.bool_],
    labels: NDArray[np.int64],
    weights: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Choose shares (M,) of at least 0 with the lowest loss on other rows than training; 1 each without.

    Few rows, or answers that are all worse than a guess, can leave no share above 0: then all are 1 too, for
    without any share there would be no answer.
    """
    ones = np.ones(presence.shape[1])
    if not len(labels):
        return ones

    def loss(shares: NDArray[np.float64]) -> float:
        true = fuse(stacked, shares, presence)[np.arange(len(labels)), labels]
        return float(-np.average(true, weights=weights))

    found: Any = minimize(loss, ones, method="L-BFGS-B", bounds=[(0.0, None)] * len(ones))
    shares = np.asarray(found.x, np.float64)
    return shares if shares.any() else ones
