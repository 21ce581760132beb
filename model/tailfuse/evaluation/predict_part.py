"""Predict all rows of a part, in batches of bounded memory."""

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tailfuse_service.bundle import Batch, Output

from tailfuse.data.split_arrays import SplitArrays
from tailfuse.modalities.ragged import split_by_size

MAX_ROWS = 256  # in a batch
MAX_NUMBERS = 2**22  # in a batch, padding included: 8,192 tokens, or 27 images of 224 x 224 pixels
NUMBERS_PER_ID = 512  # an id, of a token or an n-gram, becomes a vector of about this length


def predict_part(run: Callable[[Batch], Output], part: SplitArrays, batch_size: int = MAX_ROWS) -> Output:
    """Return the answers for all rows (at least one), in order."""
    batches = list(split_by_size(count_numbers(part), batch_size, MAX_NUMBERS))
    outputs = [run(part.take(rows).batch()) for rows in batches]
    order = np.concatenate(batches).argsort()
    conflicts = [output.conflict for output in outputs if output.conflict is not None]
    return Output(
        np.concatenate([output.probabilities for output in outputs])[order],
        np.concatenate([output.weights for output in outputs])[order],
        np.concatenate([output.confidences for output in outputs])[order],
        conflict=np.concatenate(conflicts)[order] if conflicts else None,
    )


def count_numbers(part: SplitArrays) -> NDArray[np.int64]:
    """Count the numbers of each row by modality, 0 where it is absent: (N, M)

    The memory of a batch is in proportion to them: the layers of an encoder make more numbers of more.
    """
    counts = [
        np.append(count_values(part.inputs[name]), 0)[position]  # the position -1 is the last one's
        for name, position in part.position.items()
    ]
    return np.stack(counts, axis=1)


def count_values(rows: NDArray[Any]) -> NDArray[np.int64]:
    """Count the numbers of each row of a modality: (n, ...) -> (n,)"""
    if rows.dtype != object:
        return np.full(len(rows), prod(rows.shape[1:]))
    if len(rows) and rows[0].dtype.kind == "i":  # ids of tokens (L,), or ids and counts of n-grams (L, 2)
        return np.array([len(row) * NUMBERS_PER_ID for row in rows])
    return np.array([row.size for row in rows], np.int64)
