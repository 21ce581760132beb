"""The linear expert: multinomial logistic regression without class weights, less the log prior.

It is one of the experts of a modality: of texts on words and word n-grams, of columns on the numbers and on
their positions in the bins. On few rows of many columns it is better than a network. Each network has its
own, fitted to its own training rows: a regression knows its training rows by heart.

Letters: n rows, D columns, C classes, K of them with rows.
"""

import warnings
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn

MAX_ITERATIONS, TOLERANCE = 200, 1e-3  # of the regression; more change no prediction
MAX_DEVIATIONS = 5.0  # of a column from its mean: a heavy tail or a broken sensor must not decide alone


class Regression(NamedTuple):
    """Weights (D, K) and bias (K,) of the classes (K,) that have rows, for equally frequent classes."""

    classes: NDArray[np.int64]
    weights: NDArray[np.floating]
    bias: NDArray[np.floating]


def fit_regression(columns: Any, labels: NDArray[np.int64], inverse: float) -> Regression | None:
    """Fit to columns (n, D), an array or sparse; None where all rows are of one class.

    `inverse` is the inverse strength of regularisation.
    """
    classes, codes = np.unique(labels, return_inverse=True)
    if len(classes) < 2:
        return None
    regression = LogisticRegression(C=inverse, max_iter=MAX_ITERATIONS, tol=TOLERANCE)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        regression.fit(columns, codes)
    weights, bias = regression.coef_, regression.intercept_
    if len(classes) == 2:  # one row of weights, for the second class
        weights, bias = np.concatenate([-weights, weights]) / 2, np.concatenate([-bias, bias]) / 2
    bias = bias - np.log(np.bincount(codes) / len(codes))
    return Regression(classes, weights.T, bias - bias.mean())


class LinearExpert(nn.Module):
    """The linear expert of one modality of columns. A class without training rows has weights of 0."""

    def __init__(self, n_columns: int, n_classes: int) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.zeros(n_columns, n_classes), requires_grad=False)
        self.bias = nn.Parameter(torch.zeros(n_classes), requires_grad=False)

    def forward(self, columns: Tensor) -> Tensor:
        """(n, D), standardised -> log-probabilities (n, C)"""
        return F.log_softmax(limit_columns(columns) @ self.weights + self.bias, dim=-1)

    def fit(self, columns: Tensor, labels: NDArray[np.int64], inverse: float) -> None:
        """Fit to training rows (n, D); `inverse` is the inverse strength of regularisation."""
        self.weights.zero_()
        self.bias.zero_()
        fitted = fit_regression(limit_columns(columns).double().cpu().numpy(), labels, inverse)
        if fitted is not None:
            at = torch.from_numpy(fitted.classes).to(self.bias.device)
            self.weights[:, at] = torch.from_numpy(fitted.weights).to(self.weights)
            self.bias[at] = torch.from_numpy(fitted.bias).to(self.bias)


def limit_columns(columns: Tensor) -> Tensor:
    """Limit standardised numbers to MAX_DEVIATIONS."""
    return columns.clamp(-MAX_DEVIATIONS, MAX_DEVIATIONS)
