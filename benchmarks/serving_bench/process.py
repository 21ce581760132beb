"""CPU time and memory of a process and all that it has started, from Linux's /proc."""

import os
from pathlib import Path
from typing import NamedTuple

PROC = Path("/proc")
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class Memory(NamedTuple):
    """Bytes. `rss` counts a page in every process that has it, `pss` divides it among them."""

    rss: int
    pss: int


def tree_of(pid: int) -> set[int]:
    """The process, its children, and theirs."""
    parents = {int(path.name): fields[1] for path in PROC.glob("[0-9]*") if (fields := stat_of(path))}
    tree = {pid}
    while children := {child for child, parent in parents.items() if parent in tree} - tree:
        tree |= children
    return tree


def cpu_s(pid: int) -> float:
    """Seconds of CPU, the kernel's for it included, that the process and what it started have used."""
    stats = (stat_of(PROC / str(each)) for each in tree_of(pid))
    return sum(fields[11] + fields[12] for fields in stats if fields) / TICKS_PER_S


def memory_of(pid: int) -> Memory:
    """Of the process and what it started together."""
    found = [rollup_of(PROC / str(each)) for each in tree_of(pid)]
    return Memory(sum(each.rss for each in found), sum(each.pss for each in found))


def started_at(pid: int) -> int | None:
    """Ticks from the start of the machine to the process's; None if it has ended."""
    fields = stat_of(PROC / str(pid))
    return fields[19] if fields else None


def stat_of(path: Path) -> list[int]:
    """The numbers of /proc/PID/stat from the third field, which is 0 here, on; none if it has ended."""
    try:
        text = (path / "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return []
    _, *numbers = text.rpartition(")")[2].split()  # the name before it may hold anything
    return [0, *map(int, numbers)]


def rollup_of(path: Path) -> Memory:
    """The sums of /proc/PID/smaps_rollup; nothing if it has ended."""
    try:
        lines = (path / "smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return Memory(0, 0)
    kib = {line.split(":")[0]: int(line.split()[1]) for line in lines[1:]}
    return Memory(kib["Rss"] * 1024, kib["Pss"] * 1024)
