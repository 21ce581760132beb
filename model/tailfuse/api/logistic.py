"""Logistic regression on the columns of all modalities: the baseline that anyone would try first.

Letters: N rows, C classes.
"""

from collections.abc import Iterator
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler
from sklearn.utils.class_weight import compute_sample_weight
from tailfuse_service.modalities import Modality, TextModality

from tailfuse.data.split_arrays import Dataset, SplitArrays

STRENGTHS = (0.01, 0.1, 1.0, 10.0)  # C of scikit-learn; the validation rows choose one


def predict_with_logistic_regression(dataset: Dataset) -> NDArray[np.float64]:
    """Fit to the training rows, choose the regularisation on the validation rows, predict the test rows.

    Returns (N, C).
    Classes count alike, as in the other methods. The cells of a table, the pixels of an image, the steps of a
    series and the n-grams of a text are a column each; an absent modality is 0.
    """
    parts = (dataset.train, dataset.val, dataset.test)
    train, val, test = (stack_columns(part, dataset.modalities) for part in parts)
    weights = compute_sample_weight("balanced", dataset.val.labels)
    fitted: list[tuple[float, Any]] = []
    for strength in STRENGTHS:
        model = make_pipeline(
            MaxAbsScaler(), LogisticRegression(C=strength, class_weight="balanced", max_iter=2000)
        ).fit(train, dataset.train.labels)
        loss = log_loss(
            dataset.val.labels, model.predict_proba(val), sample_weight=weights, labels=model.classes_
        )
        fitted.append((float(loss), model))
    _, best = min(fitted, key=lambda each: each[0])
    probabilities: NDArray[np.float64] = best.predict_proba(test)
    return probabilities


def stack_columns(part: SplitArrays, modalities: dict[str, Modality]) -> Any:
    """Return the columns of all modalities end to end, as a sparse matrix (N, width)."""
    return sparse.hstack(list(iterate_columns(part, modalities)), format="csr")


def iterate_columns(part: SplitArrays, modalities: dict[str, Modality]) -> Iterator[Any]:
    """Yield the columns of each modality, (N, width)."""
    for name, at in part.position.items():
        present = np.flatnonzero(at >= 0)
        rows = part.inputs[name][at[present]]
        modality = modalities[name]
        if isinstance(modality, TextModality):
            values = count_ngrams(rows, modality.buckets + 1)
        else:
            values = sparse.csr_matrix(rows.reshape(len(rows), prod(rows.shape[1:])).astype(np.float64))
        ones = np.ones(len(present))
        place = sparse.csr_matrix((ones, (present, np.arange(len(present)))), (len(part), len(present)))
        yield place @ values


def count_ngrams(rows: NDArray[Any], width: int) -> Any:
    """Return log(1 + count) of each n-gram, (n, width); rows hold ids, or pairs of an id and its count."""
    ids = [row[:, 0] if row.ndim == 2 else row for row in rows]
    counts = [row[:, 1] if row.ndim == 2 else np.ones(len(row)) for row in rows]
    at = np.repeat(np.arange(len(rows)), [len(each) for each in ids])
    columns = np.concatenate([*ids, np.zeros(0, np.int64)]).astype(np.int64) % width
    values = np.concatenate([*counts, np.zeros(0)])
    table = sparse.csr_matrix((values, (at, columns)), (len(rows), width))
    return table.log1p()
