"""Predict all rows of a part, batch by batch."""

from collections.abc import Callable

import numpy as np
from tailfuse_service.bundle import Batch, Output

from tailfuse.data.split_arrays import SplitArrays


def predict_part(run: Callable[[Batch], Output], part: SplitArrays, batch_size: int = 256) -> Output:
    """The answers for all rows (at least one), in order."""
    outputs = [run(rows.batch()) for rows in part.batches(batch_size)]
    conflicts = [output.conflict for output in outputs if output.conflict is not None]
    return Output(
        np.concatenate([output.probabilities for output in outputs]),
        np.concatenate([output.weights for output in outputs]),
        np.concatenate([output.confidences for output in outputs]),
        conflict=np.concatenate(conflicts) if conflicts else None,
    )
