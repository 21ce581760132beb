"""What a process and its children hold: memory, open files, sockets, threads and CPU time."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Self


@dataclass(frozen=True, slots=True)
class Footprint:
    """Sums over a process and its children."""

    mebibytes: float = 0.0
    files: int = 0
    sockets: int = 0
    threads: int = 0

    def __add__(self, other: Self) -> "Footprint":
        return Footprint(
            self.mebibytes + other.mebibytes,
            self.files + other.files,
            self.sockets + other.sockets,
            self.threads + other.threads,
        )


def measure_footprint(pid: int) -> Footprint:
    """Measure now. A child that ends in the meantime holds nothing."""
    process = Path(f"/proc/{pid}")
    try:
        status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
        links = [read_link(each) for each in (process / "fd").iterdir()]
        children = (process / f"task/{pid}/children").read_text().split()
    except OSError:
        return Footprint()
    total = Footprint(
        int(status.get("VmRSS", "0 kB").split()[0]) / 1024,
        len(links),
        sum(link.startswith("socket:") for link in links),
        int(status["Threads"]),
    )
    for child in children:
        total += measure_footprint(int(child))
    return total


def measure_cpu_s(pid: int) -> float:
    """Return the CPU seconds of a process so far, without its children's."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def read_link(path: Path) -> str:
    """Return what a file descriptor is; empty if it has been closed."""
    try:
        return str(path.readlink())
    except OSError:
        return ""
