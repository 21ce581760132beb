"""What a bench has measured, as it is written to JSON: the median of the rounds is what counts."""

import datetime
import json
import platform
import statistics
import subprocess
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

from tailfuse_service.bundle import write_atomically

from serving_bench.load import Figures, generator_name
from serving_bench.raw import Raw


class Cell(NamedTuple):
    """One server under one load."""

    workload: str
    connections: int
    server: str


class Aim(NamedTuple):
    """`value` is to be at most `limit`, or at least where `at_least` is set."""

    title: str
    value: float | None  # None: not measured
    limit: float
    unit: str = ""
    at_least: bool = False

    @property
    def reached(self) -> bool | None:
        if self.value is None:
            return None
        return self.value >= self.limit if self.at_least else self.value <= self.limit


@dataclass(slots=True)
class Results:
    """Lists have an element per round."""

    settings: dict[str, Any]
    versions: dict[str, str] = field(default_factory=dict)  # of the servers
    left_out: dict[str, str] = field(default_factory=dict)  # server, or server and workload: why
    figures: dict[Cell, list[Figures]] = field(default_factory=lambda: defaultdict(list))
    ready_s: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    raw: dict[str, list[Raw]] = field(default_factory=lambda: defaultdict(list))

    def median(self, workload: str, connections: int, server: str) -> Figures | None:
        """The medians of a cell, errors summed; None if it was not measured."""
        rounds = self.figures.get(Cell(workload, connections, server))
        if not rounds:
            return None
        found = Figures._make(map(statistics.median, zip(*rounds, strict=True)))
        return found._replace(errors=sum(each.errors for each in rounds))

    def raw_median(self, workload: str) -> Raw | None:
        rounds = self.raw.get(workload)
        return Raw._make(map(statistics.median, zip(*rounds, strict=True))) if rounds else None

    def write(self, path: Path, aims: Sequence[Aim]) -> None:
        """As JSON."""
        path.parent.mkdir(parents=True, exist_ok=True)
        judged = [{**each._asdict(), "reached": each.reached} for each in aims]
        write_atomically(path, json.dumps({**self.document(), "aims": judged}, indent=1) + "\n")

    def document(self) -> dict[str, Any]:
        return {
            **self.settings,
            "versions": self.versions,
            "left_out": self.left_out,
            "ready_s": self.ready_s,
            "raw": {name: [each._asdict() for each in rounds] for name, rounds in self.raw.items()},
            "figures": [
                {**cell._asdict(), "rounds": [each._asdict() for each in rounds]}
                for cell, rounds in self.figures.items()
            ],
        }


def circumstances() -> dict[str, str]:
    """Where and when it was measured, and of what."""
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "cpu": cpu_model(),
        "load_generator": generator_name(),
        **{f"{name}_version": metadata.version(name) for name in ("onnxruntime", "uvicorn", "fastapi")},
        "python_version": platform.python_version(),
    }


def commit() -> str:
    """The commit, with a + where files differ from it; empty outside of git."""
    git = ["git", "-C", str(Path(__file__).parent)]
    try:
        head = subprocess.run(
            [*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True
        )
        changed = subprocess.run(
            [*git, "status", "--porcelain", "-uno"], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
    return head.stdout.strip() + "+" * bool(changed.stdout)


def cpu_model() -> str:
    """The processor's name, from Linux's /proc."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return ""
