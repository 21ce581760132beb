"""How much memory a trial may take: enough for any model of that size, too little to harm the service."""

from pathlib import Path

from tailfuse_service.cgroups import find_free_memory

BASE_BYTES = 2 * 1024**3  # for the values between the layers: 2 rows, a large image each
TIMES_FILES = 8  # weights are there as a file's bytes, as tensors, and prepared for the processor
FREE_SHARE = 0.75


def compute_budget(folder: Path) -> int:
    """Return how many bytes the bundle in a folder may take in its trial. Raises OSError."""
    n_bytes = sum(file.stat().st_size for file in folder.iterdir())
    free = (int(FREE_SHARE * each) for each in find_free_memory())
    return min([BASE_BYTES + TIMES_FILES * n_bytes, *free])
