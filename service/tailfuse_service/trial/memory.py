"""How much memory a trial may take: enough for any model of that size, too little to harm the service."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

BASE_BYTES = 2 * 1024**3  # for the values between the layers: 2 rows, a large image each
TIMES_FILES = 8  # weights are there as a file's bytes, as tensors, and prepared for the processor
FREE_SHARE = 0.75


class Cgroup(NamedTuple):
    """How one version of Linux's cgroups limits memory."""

    prefix: str  # of its line in /proc/PID/cgroup
    folder: str
    limit: str
    usage: str
    cached: str  # in memory.stat: files that are dropped where memory is needed


CGROUPS = (
    Cgroup("0::/", ".", "memory.max", "memory.current", "inactive_file"),
    Cgroup("memory:/", "memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)


def compute_budget(folder: Path) -> int:
    """Return how many bytes the bundle in a folder may take in its trial. Raises OSError."""
    n_bytes = sum(file.stat().st_size for file in folder.iterdir())
    return min([BASE_BYTES + TIMES_FILES * n_bytes, *(int(FREE_SHARE * free) for free in find_free_bytes())])


def find_free_bytes(proc: Path = Path("/proc"), mounted: Path = Path("/sys/fs/cgroup")) -> Iterator[int]:
    """Yield the bytes that the machine has left, and each cgroup that this process is in, where known.

    In a container the process's path may be that of the host, and is not there; its own cgroup is the root.
    """
    available = read_numbers(proc / "meminfo").get("MemAvailable:")
    if available is not None:
        yield available * 1024
    for version in CGROUPS:
        root = mounted / version.folder
        own = root / read_cgroup_path(proc / "self" / "cgroup", version.prefix)
        for group in (own, *own.parents):
            if group.is_relative_to(root):
                yield from read_free_bytes(group, version)


def read_cgroup_path(file: Path, prefix: str) -> str:
    """Return the path of this process in the cgroups, without the slash at its beginning."""
    try:
        lines = file.read_text().splitlines()
    except OSError:
        return ""
    return next((line.partition(prefix)[2] for line in lines if prefix in line), "")


def read_free_bytes(group: Path, version: Cgroup) -> Iterator[int]:
    """Yield the bytes that a cgroup has left, if it has a limit."""
    try:
        limit, usage = (int((group / name).read_text()) for name in (version.limit, version.usage))
    except (OSError, ValueError):  # "max": there is no limit
        return
    yield max(limit - usage + read_numbers(group / "memory.stat").get(version.cached, 0), 0)


def read_numbers(file: Path) -> dict[str, int]:
    """Read a file of the kernel with a name and a number on each line; nothing if it is not there."""
    try:
        lines = [line.split() for line in file.read_text().splitlines()]
    except OSError:
        return {}
    return {words[0]: int(words[1]) for words in lines if len(words) > 1 and words[1].isdecimal()}
