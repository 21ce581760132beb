"""The debiased calibration error of the top label, with a bootstrap interval.

The plain ECE measures the noise of its bins too: on 80 rows even a perfectly calibrated model has one of up
to 0.1. Kumar, Liang and Ma (2019) subtract the expected noise from each bin's squared error:

    E^2 = sum over bins of w_b ((accuracy_b - confidence_b)^2 - variance_b)

E is a root mean square over the bins, so without noise it is at least the ECE. Below 0 it counts as 0. The
interval is the basic bootstrap of E^2 over the rows.

Letters: N rows, R resamples, B bins.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tailfuse.evaluation.metrics import Counts, FloatArray, assign_bins

RESAMPLES = 200
LEVEL = 0.95
MAX_DRAWN_ROWS = 2_000_000  # at once, of all resamples

Floats = NDArray[np.float64]


class CalibrationError(NamedTuple):
    """The estimate and the bounds of its interval."""

    value: float
    low: float
    high: float


def estimate_calibration_error(probabilities: FloatArray, labels: Counts, bins: int = 15) -> CalibrationError:
    """Estimate the calibration error of (N, C) probabilities, N > 0, over bins of equally many rows."""
    confidence = probabilities.max(axis=1).astype(np.float64)
    right = (probabilities.argmax(axis=1) == labels).astype(np.float64)
    bin_of_row = assign_bins(confidence, bins)
    rows = np.arange(len(labels))[None]
    plain, debiased = sum_squared_errors(rows, bin_of_row, confidence, right, bins)
    resampled = np.concatenate([
        sum_squared_errors(drawn, bin_of_row, confidence, right, bins)[1] for drawn in draw_rows(len(labels))
    ])  # fmt: skip
    # A resample is drawn from these rows, so the true value that it estimates is the plain error of these.
    deviations = np.quantile(resampled - plain[0], [(1 + LEVEL) / 2, (1 - LEVEL) / 2])
    value, low, high = np.sqrt(np.maximum([debiased[0], *(debiased[0] - deviations)], 0.0)).tolist()
    return CalibrationError(value, low, high)


def draw_rows(n_rows: int) -> list[Counts]:
    """Draw the resamples, (r, N) at a time."""
    random = np.random.default_rng(0)
    at_once = max(1, min(RESAMPLES, MAX_DRAWN_ROWS // n_rows))
    sizes = [min(at_once, RESAMPLES - start) for start in range(0, RESAMPLES, at_once)]
    return [random.integers(n_rows, size=(size, n_rows)) for size in sizes]


def sum_squared_errors(
    drawn: Counts, bin_of_row: Counts, confidence: Floats, right: Floats, bins: int
) -> tuple[Floats, Floats]:
    """Return the squared calibration error of each resample, (R, N) -> (R,), with noise and without."""
    n_resamples, n_rows = drawn.shape
    key = (bin_of_row[drawn] + bins * np.arange(n_resamples)[:, None]).ravel()

    def add_up(values: Floats) -> Floats:
        sums = np.bincount(key, values[drawn].ravel(), minlength=n_resamples * bins)
        return sums.astype(np.float64).reshape(n_resamples, bins)

    rows = add_up(np.ones(n_rows))
    filled = np.maximum(rows, 1.0)
    mean_confidence, accuracy = add_up(confidence) / filled, add_up(right) / filled
    # One more row that is as good as predicted: a bin of right rows only is not without noise.
    smoothed = (rows * accuracy + mean_confidence) / (rows + 1)
    variance = smoothed * (1 - smoothed) / filled
    squared = (accuracy - mean_confidence) ** 2
    share = rows / n_rows
    return (share * squared).sum(axis=1), (share * (squared - variance)).sum(axis=1)
