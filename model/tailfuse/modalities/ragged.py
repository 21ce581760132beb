"""Rows of different lengths: kept apart as an object array of one array each, padded in batches."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def keep_apart(rows: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Return rows of different lengths as an object array, (n,)"""
    apart = np.empty(len(rows), object)
    for at, row in enumerate(rows):
        apart[at] = row
    return apart


def pad_rows(rows: NDArray[Any], like: NDArray[Any]) -> NDArray[Any]:
    """Pad rows of different lengths with 0: (n, longest, ...). Other rows are returned as they are.

    `like` holds at least one row: where there are none to pad, their type and width are that row's.
    """
    if rows.dtype != object:
        return rows
    longest = max(map(len, rows), default=1)
    padded = np.zeros((len(rows), longest, *like[0].shape[1:]), like[0].dtype)
    for at, row in enumerate(rows):
        padded[at, : len(row)] = row
    return padded
