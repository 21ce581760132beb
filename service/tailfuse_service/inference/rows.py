"""How many rows of a model may wait and run at once, where memory is limited."""

from typing import NamedTuple

from tailfuse_service.bundle import Bundle
from tailfuse_service.bundle.bundle import make_blank
from tailfuse_service.cgroups import find_machine_memory
from tailfuse_service.errors import BundleError
from tailfuse_service.settings import Settings

QUEUE_SHARE = 1 / 16  # of the memory, for the rows that wait
BATCHES_IN_QUEUE = 4  # a batch is copied, and its first layers take several times as much


class RowLimits(NamedTuple):
    """The settings' limits, or lower ones."""

    queue: int
    batch: int


def limit_rows(bundle: Bundle, settings: Settings) -> RowLimits:
    """Return the limits of a bundle."""
    row_bytes = sum(each.max_row_bytes for each in bundle.manifest.modalities.values())
    queue = max(1, int(QUEUE_SHARE * settings.memory_bytes) // row_bytes)
    return RowLimits(
        min(settings.max_queue, queue), min(settings.max_batch_size, max(1, queue // BATCHES_IN_QUEUE))
    )


def run_largest_batch(bundle: Bundle, settings: Settings) -> None:
    """Run the largest batch once if memory is limited. Not for the event loop. Raises BundleError.

    onnxruntime keeps what such a run takes, so that it is known before requests come.
    """
    if settings.memory_bytes * settings.workers >= find_machine_memory():
        return
    sample = {name: make_blank(bundle, name) for name in bundle.features}
    try:
        bundle.run([sample] * limit_rows(bundle, settings).batch)
    except Exception as error:
        raise BundleError(f"the graph does not run with a whole batch: {str(error)[:200]}") from error
