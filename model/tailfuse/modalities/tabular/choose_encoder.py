"""The encoder of a tabular modality, where the spec leaves it open."""

import warnings

import numpy as np
from numpy.typing import NDArray
from tailfuse_service.modalities import TabularModality
from tailfuse_service.modalities.tabular import NumberColumn

from tailfuse.modalities.tabular.edges import fit_edges, list_edges

MIN_ROWS = 500  # fewer rows judge the two encoders poorly, and train the weights of the bins poorly
MAX_NUMBERS = 128  # columns; bins are 16 times as wide
TRIAL_ROWS = 4000
MIN_CLASS_ROWS = 8  # of a class that takes part in the trial
EVERY = 4  # of a class's rows every fourth judges
MAX_LOSS_LEFT = 0.95  # of the loss without bins; on tables that gained from bins it was 0.4 to 0.9
MIN_ERRORS = 2.0  # standard errors that the gain is above 0: few judged rows say little
STRENGTH, ITERATIONS = 0.3, 150  # of the regressions
LOWEST = 1e-3  # probability: one odd row of a rare class must not decide


def add_edges(
    encoder: str, modality: TabularModality, rows: NDArray[np.float32], labels: NDArray[np.int64], seed: int
) -> TabularModality:
    """Return the modality with edges if it gets the piecewise encoder; `encoder` is the spec's.

    `rows` (n, width) are the training rows that have the modality.
    """
    if encoder == "mlp":
        return modality
    binned = fit_edges(modality, rows)
    if encoder == "piecewise":
        return binned
    n_numbers = sum(isinstance(column, NumberColumn) for column in modality.columns)
    if len(rows) < MIN_ROWS or n_numbers > MAX_NUMBERS or not list_edges(binned):
        return modality
    return binned if bins_help(binned, rows, labels, seed) else modality


def bins_help(
    modality: TabularModality, rows: NDArray[np.float32], labels: NDArray[np.int64], seed: int
) -> bool:
    """Return whether logistic regression on the bins beats that on the numbers, on rows it was not fitted to.

    It takes a fraction of a second, and on seven tables it chose as the out-of-fold loss of the networks did.
    """
    chosen = np.random.default_rng(seed).permutation(len(rows))[:TRIAL_ROWS]
    counts = np.bincount(labels[chosen])
    chosen = chosen[counts[labels[chosen]] >= MIN_CLASS_ROWS]
    if len(np.unique(labels[chosen])) < 2:
        return False
    rows = rows[chosen]
    _, codes = np.unique(labels[chosen], return_inverse=True)
    judged = np.zeros(len(codes), np.bool_)
    for code in range(codes.max() + 1):
        judged[np.flatnonzero(codes == code)[::EVERY]] = True
    with_bins = np.concatenate([rows, compute_positions(modality, rows)], axis=1)
    return is_clear_gain(
        measure_losses(rows, codes, judged), measure_losses(with_bins, codes, judged), codes[judged]
    )


def is_clear_gain(before: NDArray[np.float64], after: NDArray[np.float64], codes: NDArray[np.int64]) -> bool:
    """Return whether losses (n,) fell enough, and by more than chance explains; every class counts alike."""
    weight = 1 / np.bincount(codes)[codes]
    weight /= weight.sum()
    gains = before - after
    gain = float(weight @ gains)
    error = float(np.sqrt(weight**2 @ (gains - gain) ** 2))
    return gain > (1 - MAX_LOSS_LEFT) * float(weight @ before) and gain > MIN_ERRORS * error


def compute_positions(modality: TabularModality, rows: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the position of each number within each bin, 0..1, as the encoder has it: (n, bins)"""
    positions = []
    for slot, edges in list_edges(modality).items():
        bounds = np.array(edges)
        positions.append(np.clip((rows[:, slot, None] - bounds[:-1]) / np.diff(bounds), 0, 1))
    return np.concatenate(positions, axis=1)


def measure_losses(
    rows: NDArray[np.floating], codes: NDArray[np.int64], judged: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Fit to the other rows, and return the negative log-likelihood of each judged one."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    regression = LogisticRegression(C=STRENGTH, max_iter=ITERATIONS, class_weight="balanced")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a loss is compared, not a minimum
        regression.fit(rows[~judged], codes[~judged])
    true = codes[judged]
    right = regression.predict_proba(rows[judged])[np.arange(len(true)), true]
    losses: NDArray[np.float64] = -np.log(np.maximum(right, LOWEST))
    return losses
