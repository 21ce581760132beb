"""CPU time and memory of a process and its descendants, from Linux's /proc."""

import os
from pathlib import Path
from typing import NamedTuple

PROC = Path("/proc")
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class Memory(NamedTuple):
    """Memory in bytes. `rss` counts a shared page in every process, `pss` divides it among them."""

    rss: int
    pss: int


def list_process_tree(pid: int) -> set[int]:
    """Return the process and its descendants."""
    parents = {int(path.name): fields[1] for path in PROC.glob("[0-9]*") if (fields := read_stat(path))}
    tree = {pid}
    while children := {child for child, parent in parents.items() if parent in tree} - tree:
        tree |= children
    return tree


def read_cpu_s(pid: int) -> float:
    """Return the CPU seconds of the process and its descendants, including time in the kernel."""
    return sum(map(read_own_cpu_s, list_process_tree(pid)))


def read_own_cpu_s(pid: int) -> float:
    """Return the CPU seconds of the process without its descendants; 0 if it has ended."""
    fields = read_stat(PROC / str(pid))
    return (fields[11] + fields[12]) / TICKS_PER_S if fields else 0.0


def read_memory(pid: int) -> Memory:
    """Return the memory of the process and its descendants."""
    found = [read_memory_maps(PROC / str(each)) for each in list_process_tree(pid)]
    return Memory(sum(each.rss for each in found), sum(each.pss for each in found))


def read_start_ticks(pid: int) -> int | None:
    """Return the process's start in ticks since boot; None if it has ended."""
    fields = read_stat(PROC / str(pid))
    return fields[19] if fields else None


def read_stat(path: Path) -> list[int]:
    """Return the numbers of /proc/PID/stat from the third field on, as which 0 stands; [] if it has ended."""
    try:
        text = (path / "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return []
    _, *numbers = text.rpartition(")")[2].split()  # the name before it may contain anything
    return [0, *map(int, numbers)]


def read_memory_maps(path: Path) -> Memory:
    """Return the sums of /proc/PID/smaps_rollup; zeros if the process has ended."""
    try:
        lines = (path / "smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return Memory(0, 0)
    kib = {line.split(":")[0]: int(line.split()[1]) for line in lines[1:]}
    return Memory(kib["Rss"] * 1024, kib["Pss"] * 1024)
