"""How many rows of a model may wait and run at once, where memory is limited."""

from typing import NamedTuple

import numpy as np

from tailfuse_service.bundle import Bundle
from tailfuse_service.cgroups import find_machine_memory
from tailfuse_service.settings import Settings

QUEUE_SHARE = 1 / 16  # of the memory, for the rows that wait
BATCHES_IN_QUEUE = 4  # a batch is copied, and its first layers take several times as much


class RowLimits(NamedTuple):
    """The settings' limits, or lower ones."""

    queue: int
    batch: int


def limit_rows(bundle: Bundle, settings: Settings) -> RowLimits:
    """Return the limits of a bundle. If memory is limited, the model is run once with the largest batch.

    onnxruntime keeps what such a run takes, so that it is known before requests come.
    """
    row_bytes = sum(each.max_row_bytes for each in bundle.manifest.modalities.values())
    queue = max(1, int(QUEUE_SHARE * settings.memory_bytes) // row_bytes)
    limits = RowLimits(
        min(settings.max_queue, queue), min(settings.max_batch_size, max(1, queue // BATCHES_IN_QUEUE))
    )
    if settings.memory_bytes * settings.workers < find_machine_memory():
        empty = {name: features.stack([]) for name, features in bundle.features.items()}
        blank = {name: np.zeros(each.shape[1:], each.dtype) for name, each in empty.items()}
        bundle.run([blank] * limits.batch)
    return limits
