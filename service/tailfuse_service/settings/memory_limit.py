"""The memory that this process may use: the smallest limit of its control groups, or the machine's."""

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

CGROUP_ROOT = Path("/sys/fs/cgroup")
PROC_CGROUP = Path("/proc/self/cgroup")


def read_memory_limit(root: Path = CGROUP_ROOT, groups: Path = PROC_CGROUP) -> int:
    """Return the limit in bytes, of version 1 and 2 of control groups and of all groups above."""
    limits = [find_machine_memory()]
    for file in list_limit_files(root, groups):
        try:
            text = file.read_text().strip()
        except OSError:  # the path of the host, which a container does not see
            continue
        if text.isdecimal():  # `max` is none
            limits.append(int(text))
    return min(limits)


def find_machine_memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def list_limit_files(root: Path, groups: Path) -> Iterator[Path]:
    """Yield the files with the limits of this process's groups, from its own up to the root's.

    In a container the root is the container's own group, whatever path /proc says.
    """
    try:
        lines = groups.read_text().splitlines()
    except OSError:
        lines = []
    paths = {"": "/", "memory": "/"}  # by controller; version 2 has one group for all
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers in ("", "memory") or "memory" in controllers.split(","):
            paths["memory" if controllers else ""] = path
    for folder, name, path in (
        (root, "memory.max", paths[""]),
        (root / "unified", "memory.max", paths[""]),
        (root / "memory", "memory.limit_in_bytes", paths["memory"]),
    ):
        for group in (own := PurePosixPath(path), *own.parents):
            yield folder / str(group).lstrip("/") / name
