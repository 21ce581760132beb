"""How much memory a trial may take: enough for any model of that size, too little to harm the service."""

from collections.abc import Iterator
from pathlib import Path

BASE_BYTES = 2 * 1024**3  # for the values between the layers: 2 rows, a large image each
TIMES_FILES = 8  # weights are there as a file's bytes, as tensors, and prepared for the processor
FREE_SHARE = 0.75
CGROUP = Path("/sys/fs/cgroup")
# Limit, usage and statistics of a container, which has its own cgroup here: version 2, then version 1.
CGROUP_FILES = (
    ("memory.max", "memory.current", "memory.stat"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat"),
)


def compute_budget(folder: Path) -> int:
    """Return how many bytes the bundle in a folder may take in its trial."""
    n_bytes = sum(file.stat().st_size for file in folder.iterdir())
    return min([BASE_BYTES + TIMES_FILES * n_bytes, *(int(FREE_SHARE * free) for free in find_free_bytes())])


def find_free_bytes(meminfo: Path = Path("/proc/meminfo"), cgroup: Path = CGROUP) -> Iterator[int]:
    """Yield the bytes that the machine has left, and the container, where these are known."""
    available = read_numbers(meminfo).get("MemAvailable:")
    if available is not None:
        yield available * 1024
    for limit, usage, statistics in CGROUP_FILES:
        try:
            maximum, used = (int((cgroup / name).read_text()) for name in (limit, usage))
        except (OSError, ValueError):  # "max": there is no limit
            continue
        # Cached files are dropped where memory is needed.
        yield max(maximum - used + read_numbers(cgroup / statistics).get("inactive_file", 0), 0)


def read_numbers(file: Path) -> dict[str, int]:
    """Read a file of the kernel with a name and a number on each line; nothing if it is not there."""
    try:
        lines = [line.split() for line in file.read_text().splitlines()]
    except OSError:
        return {}
    return {words[0]: int(words[1]) for words in lines if len(words) > 1 and words[1].isdecimal()}
