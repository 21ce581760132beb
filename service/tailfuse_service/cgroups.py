"""The control groups (cgroups) that this process is in, of versions 1 and 2, and their limits of memory."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

PROC, MOUNTED = Path("/proc"), Path("/sys/fs/cgroup")


class Version(NamedTuple):
    """The files by which one version of control groups limits memory."""

    controllers: str  # in /proc/PID/cgroup
    folder: str
    limit: str
    usage: str
    cached: str  # in memory.stat: files that are dropped where memory is needed


VERSIONS = (
    Version("", ".", "memory.max", "memory.current", "inactive_file"),
    Version("", "unified", "memory.max", "memory.current", "inactive_file"),
    Version("memory", "memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)


def find_memory_limit(proc: Path = PROC, mounted: Path = MOUNTED) -> int:
    """Return the smallest limit of the groups and the machine, in bytes."""
    limits = [read_number(group / version.limit) for group, version in list_groups(proc, mounted)]
    return min([find_machine_memory(), *(limit for limit in limits if limit is not None)])


def find_machine_memory() -> int:
    """Return the memory of the machine, in bytes."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def find_free_memory(proc: Path = PROC, mounted: Path = MOUNTED) -> Iterator[int]:
    """Yield the bytes that the machine has left, and each group that has a limit."""
    available = read_numbers(proc / "meminfo").get("MemAvailable:")
    if available is not None:
        yield available * 1024
    for group, version in list_groups(proc, mounted):
        limit, usage = (read_number(group / name) for name in (version.limit, version.usage))
        if limit is not None and usage is not None:
            yield max(limit - usage + read_numbers(group / "memory.stat").get(version.cached, 0), 0)


def list_groups(proc: Path = PROC, mounted: Path = MOUNTED) -> Iterator[tuple[Path, Version]]:
    """Yield the folders of the process's groups, from its own up to the root.

    In a container the process's path may be that of the host, and is not there; its own group is the root.
    """
    for version in VERSIONS:
        root = mounted / version.folder
        own = root / find_path(proc / "self" / "cgroup", version.controllers)
        for group in (own, *own.parents):
            if group.is_relative_to(root):
                yield group, version


def find_path(file: Path, controller: str) -> str:
    """Return the path of this process's group, without the slash at its beginning."""
    try:
        lines = [line.split(":", 2) for line in file.read_text().splitlines()]
    except OSError:
        return ""
    return next((path[1:] for _, controllers, path in lines if controller in controllers.split(",")), "")


def read_number(file: Path) -> int | None:
    """Read a file with one number; None if it is not there or holds `max`, which is no limit."""
    try:
        return int(file.read_text())
    except (OSError, ValueError):
        return None


def read_numbers(file: Path) -> dict[str, int]:
    """Read a file of the kernel with a name and a number on each line; nothing if it is not there."""
    try:
        lines = [line.split() for line in file.read_text().splitlines()]
    except OSError:
        return {}
    return {words[0]: int(words[1]) for words in lines if len(words) > 1 and words[1].isdecimal()}
