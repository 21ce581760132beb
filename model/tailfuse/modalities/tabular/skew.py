"""Heavy-tailed columns: counts, amounts and durations, whose values span orders of magnitude.

Standardised as they are, nearly all values lie at one point, and a few lie many standard deviations away.
"""

import numpy as np
from numpy.typing import NDArray
from tailfuse_service.modalities.tabular.columns import MAX_LOG_UNIT, MIN_LOG_UNIT

MIN_VALUES = 50  # skewness and kurtosis of fewer values are decided by one of them
# Departures from a normal shape. That of a gamma variable is 20 at a skewness of 3.8.
MIN_DEPARTURE = 20.0
MAX_DEPARTURE_LEFT = 0.25  # of the departure, with logarithms; else they do not help
# The unit is the median size other than 0, or a smaller quantile of all sizes. That must halve the departure:
# it magnifies what is near 0. Where many values are 0 there is none: they would lie far from small ones.
SMALLER_SHARES = (0.25, 0.1)
MAX_DEPARTURE_OF_SMALLER = 0.5
MIN_UNIT = 1e-3  # of the median size; smaller values may be rounding errors


def choose_log_unit(numbers: NDArray[np.float64]) -> float | None:
    """Return the unit of the signed logarithm that a heavy-tailed column needs; None for another column.

    asinh is a line below the unit. Where half of the values lie there, ratios of small values are lost: if
    logarithms of them are more nearly normal, the unit is smaller than the median size.
    """
    if len(numbers) < MIN_VALUES or (departure := compute_departure(numbers)) < MIN_DEPARTURE:
        return None
    sizes = np.abs(numbers)
    median = float(np.median(sizes[sizes > 0]))
    unit, least = median, compute_departure(take_logarithms(numbers, median))
    for candidate in np.quantile(sizes, SMALLER_SHARES, method="inverted_cdf").tolist():
        if candidate < MIN_UNIT * median:
            break
        left = compute_departure(take_logarithms(numbers, candidate))
        if left < MAX_DEPARTURE_OF_SMALLER * least:
            unit, least = candidate, left
    if not MIN_LOG_UNIT <= unit <= MAX_LOG_UNIT:
        return None
    return unit if least <= MAX_DEPARTURE_LEFT * departure else None


def take_logarithms(numbers: NDArray[np.float64], unit: float) -> NDArray[np.float64]:
    """Return the signed logarithms in a unit, which may be too small or too large for a float."""
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        return np.arcsinh(numbers / unit)


def compute_departure(numbers: NDArray[np.float64]) -> float:
    """Return the Jarque-Bera statistic by row: squared skewness / 6 + squared excess kurtosis / 24.

    0 for constants, and for numbers that are too large for it.
    """
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        standard = (numbers - numbers.mean()) / numbers.std()
        departure = float(np.mean(standard**3) ** 2 / 6 + (np.mean(standard**4) - 3) ** 2 / 24)
    return departure if np.isfinite(departure) else 0.0
