"""Rows whose label is probably wrong, by confident learning.

Northcutt, Jiang and Chuang, "Confident Learning: Estimating Uncertainty in Dataset Labels", Journal of
Artificial Intelligence Research 70, 2021, equations 1 and 2. A class's threshold is the mean probability of
that class among the rows labelled so. A row counts as a class where its probability reaches the class's
threshold; if several do, as the most probable one. A row that counts as another class than its label is
suspect. The probabilities must come from networks that were not trained on the row.

`cleanlab` finds the same rows (its figures are in the tests). It needs pandas, so its ten lines are here.

Letters: N rows, C classes.
"""

import numpy as np
from numpy.typing import NDArray

from tailfuse.evaluation.metrics import Counts, FloatArray


def find_label_issues(labels: Counts, probabilities: FloatArray) -> Counts:
    """Return the suspect rows of (N,) and (N, C), the clearest first."""
    rows = np.arange(len(labels))
    thresholds = compute_thresholds(labels, probabilities)
    confident = np.where(probabilities >= thresholds, probabilities, -1.0)
    likely = confident.argmax(axis=1)
    suspect = np.flatnonzero((confident[rows, likely] >= 0) & (likely != labels))
    margin = (probabilities[rows, likely] - probabilities[rows, labels])[suspect]
    return suspect[np.argsort(-margin, kind="stable")]


def compute_thresholds(labels: Counts, probabilities: FloatArray) -> NDArray[np.float64]:
    """Return the mean probability of each class among its rows, (C,); infinite for a class without rows."""
    n_classes = probabilities.shape[1]
    rows = np.bincount(labels, minlength=n_classes)
    sums = np.bincount(labels, probabilities[np.arange(len(labels)), labels], minlength=n_classes)
    thresholds = np.full(n_classes, np.inf)
    np.divide(sums, rows, out=thresholds, where=rows > 0)
    # A row at its class's mean must reach it, whatever the rounding.
    return thresholds - 1e-6
