"""How frequent the classes are where rows come from, told by the answers to them: functions of arrays.

The answers p(c | x) take all classes as equally frequent. Where class c has the share q_c, they become
q_c p(c | x), divided by the sum over the classes; and rows without labels tell q, the most likely one, by EM
(Saerens, Latinne and Decaestecker 2002). Taken at their word, though, answers that miss half of a rare class
look like rows that lack it, and a long-tailed training leaves such answers; how likely other rows are under
q does not give this away. So the rows are compared with calibration rows whose labels are known (as in
Lipton, Wang and Smola 2018), and only what differs from them counts:

    M_c  mean answer to calibration rows of class c; where these are few, drawn towards that of all classes
    b    mean of the M_c: the mean answer, were all classes equally frequent
    d    mean answer to the rows, minus b; if chance alone explains it, q stays uniform
    t    q_c ~ exp(a x_c), x_c the standardised log of the training count, with E_t[x] = x.d / beta where
         beta is the slope of x.M_c over x_c: one number, which few rows tell
    q    by EM of p(c | x) / b_c, with a Dirichlet prior around t

Letters: N rows, C classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2
from tailfuse_service.bundle.manifest import MeanAnswers

from tailfuse.evaluation.metrics import Counts, FloatArray

LEVEL = 0.01  # a shift that chance explains more often than this is none: harm is worse than a gain missed
AVERAGE_ROWS = 2.0  # rows that the average over the classes counts for in each M_c
PRIOR_STRENGTH = (
    10.0  # with so many calibration rows of each class, the prior around t counts half as much as the rows
)
PRIOR_ROWS = 10.0  # below about as many, the spread of the answers says little
MIN_NOISE = 1e-3  # of a class's mean answer, however many rows there are
MAX_SLOPE = 2.0  # a; at IR 50, the shares of a long tail are as with 1.2
MAX_FLAT_RATIO = 1.5  # up to this imbalance ratio, training counts have no direction
EM_STEPS = 200

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Prior:
    """The shares (C,) of the classes, and how probable such answers were if all shares were equal."""

    shares: Floats
    p_value: float

    @property
    def shifted(self) -> bool:
        """Return whether the shares differ from uniform ones."""
        return self.p_value < LEVEL


def mean_answers(probabilities: FloatArray, labels: Counts) -> MeanAnswers:
    """Answers to calibration rows and their classes, (H, C) and (H,)."""
    rows = np.bincount(labels, minlength=probabilities.shape[1])
    sums = np.zeros((len(rows), len(rows)))
    np.add.at(sums, labels, probabilities)
    means = (sums / np.maximum(rows, 1)[:, None]).round(6)
    return MeanAnswers(rows=tuple(rows.tolist()), probabilities=tuple(map(tuple, means.tolist())))


def reweighted(probabilities: FloatArray, shares: Floats) -> Floats:
    """The answers (N, C) where the classes have these shares (C,) instead of equal ones."""
    joint: Floats = probabilities.astype(np.float64) * shares
    joint /= joint.sum(axis=1, keepdims=True)
    return joint


def estimate_prior(
    probabilities: FloatArray, calibration: MeanAnswers, train_counts: Sequence[int] | Counts
) -> Prior:
    """The prior of the rows that got these answers, (N, C) with N > 0; all classes alike, if in doubt."""
    answers = probabilities.astype(np.float64)
    n_rows, n_classes = answers.shape
    means, weight = smooth_means(calibration)
    balanced = means.mean(axis=0)
    difference = answers.mean(axis=0) - balanced
    noise = estimate_noise(answers, balanced, means, weight)
    overall = difference @ np.linalg.solve(noise, difference)
    p_value = float(chi2.sf(overall, n_classes - 1))
    centre = np.full(n_classes, 1 / n_classes)
    x = make_direction(np.asarray(train_counts))
    if x.any():
        moved, error = x @ difference, np.sqrt(x @ noise @ x)
        # The smaller of two p-values, doubled (Bonferroni).
        p_value = min(1.0, 2 * min(p_value, float(chi2.sf((moved / error) ** 2, 1))))
        sure = np.sign(moved) * max(abs(moved) - error, 0.0)
        beta = max(np.mean(means @ x * x), 0.1)
        centre = tilt_shares(sure / beta, x)
    if p_value >= LEVEL:
        return Prior(np.full(n_classes, 1 / n_classes), p_value)
    unbiased = reweighted(answers, 1 / balanced)
    doubt = PRIOR_STRENGTH / (PRIOR_STRENGTH + 1 / np.mean(1 / weight))
    return Prior(expectation_maximisation(unbiased, (n_classes + doubt * n_rows) * centre), p_value)


def smooth_means(calibration: MeanAnswers) -> tuple[Floats, Floats]:
    """M (C, C), and how many rows each line counts for (C,)."""
    rows, means = np.array(calibration.rows, np.float64), np.array(calibration.probabilities)
    right = np.average(means.diagonal(), weights=rows > 0)
    typical = np.full(means.shape, (1 - right) / (len(rows) - 1))
    np.fill_diagonal(typical, right)
    weight = rows + AVERAGE_ROWS
    return (rows[:, None] * means + AVERAGE_ROWS * typical) / weight[:, None], weight


def estimate_noise(answers: Floats, balanced: Floats, means: Floats, weight: Floats) -> Floats:
    """Covariance (C, C) of d: of the mean answer to N rows, and of b.

    It is at most as large as if each row were answered with one class alone; the rows tell how much less
    answers scatter that are spread over the classes, but few of them say little.
    """
    n_rows, n_classes = answers.shape
    spread = np.cov(answers.T, bias=True)
    at_most = np.diag(balanced) - np.outer(balanced, balanced)
    of_rows = (n_rows * spread + PRIOR_ROWS * at_most) / (n_rows + PRIOR_ROWS) / n_rows
    share = 1 / (weight * n_classes**2)
    of_held_out = np.diag(share @ means) - means.T @ (share[:, None] * means)
    softness = min(1.0, np.trace(of_rows) * n_rows / np.trace(at_most))
    covariance: Floats = of_rows + softness * of_held_out + MIN_NOISE**2 * np.eye(n_classes)
    return covariance


def make_direction(train_counts: NDArray[np.int64]) -> Floats:
    """x (C,): the log of the training counts, of mean 0 and variance 1; zeros if these are alike."""
    if train_counts.max() <= MAX_FLAT_RATIO * train_counts.min():
        return np.zeros(len(train_counts))
    log = np.log(train_counts)
    x: Floats = (log - log.mean()) / log.std()
    return x


def tilt_shares(mean: float, x: Floats) -> Floats:
    """The shares q_c ~ exp(a x_c) with E_q[x] = mean, as far as |a| allows."""
    slopes = np.linspace(-MAX_SLOPE, MAX_SLOPE, 401)
    each = np.exp(slopes[:, None] * x)
    each /= each.sum(axis=1, keepdims=True)
    a = np.interp(mean, each @ x, slopes)
    shares: Floats = np.exp(a * x)
    shares /= shares.sum()
    return shares


def expectation_maximisation(answers: Floats, pseudo_rows: Floats) -> Floats:
    """The most probable shares (C,), given (N, C) answers and rows (C,) that a Dirichlet prior counts for.

    Each row belongs to the classes as the present shares say; the next shares are what all rows sum up to.
    """
    shares: Floats = pseudo_rows / pseudo_rows.sum()
    for _ in range(EM_STEPS):
        counts = reweighted(answers, shares).sum(axis=0) + pseudo_rows
        before, shares = shares, counts / counts.sum()
        if np.abs(shares - before).sum() < 1e-7:
            break
    return shares
