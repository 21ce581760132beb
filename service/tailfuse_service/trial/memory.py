"""How much memory a trial may take: enough for any model of that size, too little to harm the service."""

import os
from pathlib import Path

from tailfuse_service.cgroups import find_free_memory

BASE_BYTES = 2 * 1024**3  # for the values between the layers: 2 rows, a large image each
TIMES_FILES = 8  # weights are there as a file's bytes, as tensors, and prepared for the processor
FREE_SHARE = 0.75
# A trial ends when so little is left of what was free at its beginning: requests need the rest.
RESERVED_SHARE = 0.1
LIBRARY_BYTES = 1024**3  # what libraries take: torch 0.25 GB, a build for CUDA more
PAGE_FIELD = 1  # of /proc/PID/statm: resident pages
MIB = 1024**2


class MemoryWatch:
    """Watches the memory of a trial from outside, in case that its own limit does not hold."""

    def __init__(self, folder: Path) -> None:
        self._budget = compute_budget(folder)
        self._reserved = RESERVED_SHARE * min(find_free_memory(), default=0)

    def find_problem(self, pid: int) -> str | None:
        """Return why the process of a trial must end now, or None."""
        if read_resident(pid) > self._budget + LIBRARY_BYTES:
            return f"its trial took more than {self._budget // MIB:,} MiB of memory"
        left = min(find_free_memory(), default=0)
        if left < self._reserved:
            return f"memory ran short during its trial: {left // MIB:,} MiB are left"
        return None


def read_resident(pid: int) -> int:
    """Return the resident bytes of a process; 0 if they are not known."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[PAGE_FIELD])
    except (OSError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def compute_budget(folder: Path) -> int:
    """Return how many bytes the bundle in a folder may take in its trial. Raises OSError."""
    n_bytes = sum(file.stat().st_size for file in folder.iterdir())
    free = (int(FREE_SHARE * each) for each in find_free_memory())
    return min([BASE_BYTES + TIMES_FILES * n_bytes, *free])
