"""Measurements of a run, written as JSON; results are medians of the rounds."""

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

from serving_bench.load import Figures, describe_generator
from serving_bench.raw import Raw
from serving_bench.servers import AGAIN, OURS

TYPICAL = 64  # connections of most comparisons


class Load(NamedTuple):
    """One server under one load."""

    workload: str
    connections: int
    server: str


class Target(NamedTuple):
    """A target: `value` is at most `limit`, or at least `limit` if `at_least` is set."""

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
    """All measurements; lists have one element per round."""

    settings: dict[str, Any]
    versions: dict[str, str] = field(default_factory=dict)  # of the servers
    left_out: dict[str, str] = field(default_factory=dict)  # server, or server and workload: why
    figures: dict[Load, list[Figures]] = field(default_factory=lambda: defaultdict(list))
    ready_s: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    raw: dict[str, list[Raw]] = field(default_factory=lambda: defaultdict(list))

    def median(self, workload: str, connections: int, server: str) -> Figures | None:
        """Return the medians of one load, errors summed; None if it was not measured."""
        rounds = self.figures.get(Load(workload, connections, server))
        if not rounds:
            return None
        found = Figures._make(map(statistics.median, zip(*rounds, strict=True)))
        return found._replace(errors=sum(each.errors for each in rounds))

    def find_noise(self) -> float | None:
        """Return by how much the CPU per request of the same server twice differs: the largest share."""
        workloads = self.settings["workloads"]
        pairs = [[self.median(each, TYPICAL, server) for server in (OURS, AGAIN)] for each in workloads]
        shares = [abs(again.cpu_us / one.cpu_us - 1) for one, again in pairs if one and again]
        return max(shares, default=None)

    def raw_median(self, workload: str) -> Raw | None:
        rounds = self.raw.get(workload)
        return Raw._make(map(statistics.median, zip(*rounds, strict=True))) if rounds else None

    def write(self, path: Path, targets: Sequence[Target]) -> None:
        """Write the results and targets as JSON."""
        path.parent.mkdir(parents=True, exist_ok=True)
        evaluated = [{**each._asdict(), "reached": each.reached} for each in targets]
        write_atomically(path, json.dumps({**self.document(), "aims": evaluated}, indent=1) + "\n")

    def document(self) -> dict[str, Any]:
        return {
            **self.settings,
            "noise": self.find_noise(),
            "versions": self.versions,
            "left_out": self.left_out,
            "ready_s": self.ready_s,
            "raw": {name: [each._asdict() for each in rounds] for name, rounds in self.raw.items()},
            "figures": [
                {**load._asdict(), "rounds": [each._asdict() for each in rounds]}
                for load, rounds in self.figures.items()
            ],
        }


def describe_environment() -> dict[str, str]:
    """Describe time, code, machine and versions."""
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "commit": describe_commit(),
        "cpu": read_cpu_model(),
        "load_generator": describe_generator(),
        **{f"{name}_version": metadata.version(name) for name in ("onnxruntime", "uvicorn", "fastapi")},
        "python_version": platform.python_version(),
    }


def describe_commit() -> str:
    """Return the commit, with a + if files differ from it; empty outside git."""
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


def read_cpu_model() -> str:
    """Read the processor's name from Linux's /proc."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return ""
