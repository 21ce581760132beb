"""Answers to rows by networks that were not trained on them: the file of a run that holds them.

Letters: N rows, C classes.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from tailfuse_service.bundle import atomic_file

from tailfuse.data.split_arrays import SplitArrays
from tailfuse.errors import RunError
from tailfuse.evaluation.notable_rows import Answered

OUT_OF_FOLD = "out-of-fold.npz"


class OutOfFold(NamedTuple):
    """Rows of the table, from 0, and their probabilities."""

    rows: NDArray[np.int64]  # (N,)
    probabilities: NDArray[np.float32]  # (N, C)


def save_out_of_fold(path: Path, answers: OutOfFold) -> None:
    """Write the answers, whole or not at all."""
    with atomic_file(path) as file:
        np.savez(file, **answers._asdict())


def load_out_of_fold(path: Path) -> OutOfFold | None:
    """Read the answers; None if there is no file, as in an older run. Raises RunError."""
    if not path.exists():
        return None
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return OutOfFold(arrays["rows"], arrays["probabilities"])
    except Exception:  # NumPy and zipfile raise half a dozen kinds
        raise RunError(f"{path} is damaged; delete it, and the report does without it") from None


def select_answered(answers: OutOfFold, parts: Mapping[str, SplitArrays]) -> list[Answered]:
    """Return the answers to the rows of each part, by its name."""
    found = []
    for source, part in parts.items():
        if part.rows is None or not len(part):
            continue
        order = np.argsort(part.rows)
        at = order[np.searchsorted(part.rows, answers.rows, sorter=order).clip(max=len(part) - 1)]
        known = part.rows[at] == answers.rows
        found.append(Answered(source, part.take(at[known]), answers.probabilities[known]))
    return found
