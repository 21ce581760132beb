"""Rows of different lengths: kept apart as an object array of one array each, padded in batches."""

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

DIGESTED_ROWS = 4096  # at a time


def keep_apart(rows: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Return rows of different lengths as an object array, (n,)"""
    apart = np.empty(len(rows), object)
    for at, row in enumerate(rows):
        apart[at] = row
    return apart


def digest_rows(rows: NDArray[Any]) -> str:
    """Return a digest of rows of different lengths."""
    digest = hashlib.sha256(np.fromiter(map(len, rows), np.int64, len(rows)).data)
    for start in range(0, len(rows), DIGESTED_ROWS):
        digest.update(np.concatenate(rows[start : start + DIGESTED_ROWS].tolist()).data)
    return digest.hexdigest()


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


def split_by_size(sizes: NDArray[np.int64], max_rows: int, max_size: int) -> Iterator[NDArray[np.int64]]:
    """Yield the rows of each batch, which padded has at most `max_size`, or is one row: (N, M) -> (n,), …

    `sizes` are those of each row by modality, 0 where it is absent. The largest rows come first: neighbours
    need little padding, and later batches fit into the memory that the first one took.
    """
    order, start = np.argsort(-sizes.sum(axis=1), kind="stable"), 0
    while start < len(order):
        ahead = sizes[order[start : start + max_rows]]
        padded = np.cumsum(ahead > 0, axis=0) * np.maximum.accumulate(ahead, axis=0)
        fitting = max(1, int(np.searchsorted(padded.sum(axis=1), max_size, side="right")))
        yield order[start : start + fitting]
        start += fitting
