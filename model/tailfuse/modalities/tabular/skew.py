"""Skewed columns: counts, amounts and durations, whose values span orders of magnitude.

Standardised as they are, nearly all values lie at one point, and a few lie many standard deviations away.
"""

import numpy as np
from numpy.typing import NDArray
from tailfuse_service.modalities.tabular.columns import MAX_LOG_UNIT, MIN_LOG_UNIT

MIN_SKEW = 4.0
MIN_VALUES = 50  # the skewness of fewer values is decided by one of them
MAX_SKEW_LEFT = 0.5  # of the skewness, with logarithms; else they do not help


def choose_log_unit(numbers: NDArray[np.float64]) -> float | None:
    """Return the unit of the signed logarithm that a skewed column needs; None for another column.

    The unit is the median size of the values other than 0: about half of them lie where asinh is a line.
    """
    if len(numbers) < MIN_VALUES or (skew := compute_skew(numbers)) < MIN_SKEW:
        return None
    unit = float(np.median(np.abs(numbers[numbers != 0])))
    if not MIN_LOG_UNIT <= unit <= MAX_LOG_UNIT:
        return None
    return unit if compute_skew(np.arcsinh(numbers / unit)) <= MAX_SKEW_LEFT * skew else None


def compute_skew(numbers: NDArray[np.float64]) -> float:
    """Return the size of the skewness: the mean cube of the standardised numbers. 0 for constants."""
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        skew = abs(float(np.mean(((numbers - numbers.mean()) / numbers.std()) ** 3)))
    return skew if np.isfinite(skew) else 0.0
