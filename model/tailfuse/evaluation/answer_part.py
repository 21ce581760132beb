"""A bundle's answers to rows, and how many rows are read at once.

Letters: N rows, M modalities, C classes.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from tailfuse_service.bundle import Bundle
from tailfuse_service.modalities import Modality

from tailfuse.data.split_arrays import SplitArrays
from tailfuse.evaluation.predict_part import predict_part
from tailfuse.modalities import KINDS

PIECE_BYTES = 150 * 2**20  # of the arrays of a piece: 1,044 images of 224 x 224 pixels
MAX_PIECE_ROWS = 16_384  # of small rows; what a column costs once for each piece is then little for each row
MAX_RAGGED_ROWS = 1_024  # where a row may be a whole document

Floats = NDArray[np.float64]


class Answers(NamedTuple):
    """NaN where there is no answer: in rows without a modality, and of absent modalities."""

    probabilities: Floats  # (N, C)
    weights: Floats  # (N, M)
    confidences: Floats  # (N, M)
    conflict: Floats  # (N,)

    def find_unanswered(self) -> NDArray[np.int64]:
        """Return the rows without a modality."""
        rows: NDArray[np.int64] = np.flatnonzero(np.isnan(self.probabilities[:, 0]))
        return rows


def count_piece_rows(modalities: Mapping[str, Modality]) -> int:
    """Return how many rows of a table are read at once, so that memory grows neither with rows nor images."""
    row_bytes = sum(modality.max_row_bytes for modality in modalities.values())
    rows = max(1, min(MAX_PIECE_ROWS, PIECE_BYTES // row_bytes))
    is_ragged = any(KINDS[modality.kind].ragged for modality in modalities.values())
    return min(rows, MAX_RAGGED_ROWS) if is_ragged else rows


def answer_part(bundle: Bundle, part: SplitArrays) -> Answers:
    """Answer rows; NaN where there is no answer."""
    presence = part.presence()
    n_rows, n_modalities = presence.shape
    probabilities = np.full((n_rows, len(bundle.manifest.classes)), np.nan)
    weights = np.full((n_rows, n_modalities), np.nan)
    confidences, conflict = weights.copy(), np.full(n_rows, np.nan)
    at = np.flatnonzero(presence.any(axis=1))
    if len(at):
        output = predict_part(bundle.answer, part.take(at))
        probabilities[at], weights[at] = output.probabilities, output.weights
        confidences[at] = np.where(presence[at], output.confidences, np.nan)
        if output.conflict is not None:
            conflict[at] = np.where(presence[at].sum(axis=1) > 1, output.conflict, np.nan)
    return Answers(probabilities, weights, confidences, conflict)
