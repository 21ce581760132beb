"""The report of a soak: what honest callers got, what each attack did, and what must hold."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tests.support.callers import Tally
from tests.support.footprint import Footprint
from tests.support.soak_service import GAUGES, MEMORY_MB, SoakService

MAX_RATIO = 3.0
MAX_REFUSED = 0.01  # of honest requests, with 429 or 503
MAX_NEW_THREADS = 24  # pools start their threads when they are first needed; no thread is one client's


@dataclass(slots=True)
class Phase:
    """Some seconds of honest load, with these attacks or without any."""

    name: str
    seconds: float
    tally: Tally
    attacks: dict[str, dict[str, int]]
    peak: Footprint
    cpu_share: float  # of its core; what is missing to 1 it did not need, or other processes had

    def measure_ms(self, percentile: float) -> float:
        """Return a percentile of honest answers' times; nan without answers."""
        times = self.tally.seconds
        return float(np.percentile(times, percentile)) * 1000 if times else float("nan")

    def describe(self, quiet: "Phase | None" = None) -> dict[str, Any]:
        p99 = self.measure_ms(99)
        return {
            "phase": self.name,
            "honest_per_s": round(len(self.tally.seconds) / self.seconds, 1),
            "p50_ms": round(self.measure_ms(50), 1),
            "p99_ms": round(p99, 1),
            **({} if quiet is None else {"p99_ratio": round(p99 / quiet.measure_ms(99), 2)}),
            "cpu_share": round(self.cpu_share, 2),
            "compared": self.tally.compared,
            "wrong": len(self.tally.wrong),
            "statuses": dict(sorted(self.tally.statuses.items())),
            "peak_mib": round(self.peak.mebibytes, 1),
        }


@dataclass(slots=True)
class Report:
    """The figures, and the checks by name."""

    figures: dict[str, Any] = field(default_factory=dict)
    phases: list[dict[str, Any]] = field(default_factory=list)
    attacks: dict[str, dict[str, int]] = field(default_factory=dict)
    checks: dict[str, bool] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        return all(self.checks.values())

    def as_json(self) -> dict[str, Any]:
        return {
            "figures": self.figures, "phases": self.phases, "attacks": self.attacks, "checks": self.checks,
        }  # fmt: skip


def judge(
    soaked: SoakService, quiet: Phase, phases: list[Phase], idle: Footprint, left: Footprint,
    gauges: dict[str, float], code: int, *, timed: bool,
) -> Report:  # fmt: skip
    """Judge all phases. Without `timed`, times are reported only: they depend on the machine."""
    lines = soaked.read_log()
    exceptions = [line for line in lines if "exception" in line or line["level"] == "critical"]
    statuses = sum((phase.tally.statuses for phase in phases), start=Counter(quiet.tally.statuses))
    attacks = {name: did for phase in phases for name, did in phase.attacks.items()}
    wrong = [each for phase in (quiet, *phases) for each in phase.tally.wrong]
    n_honest = sum(count for kind, count in statuses.items() if kind.startswith("honest"))
    n_refused = statuses["honest 429"] + statuses["honest 503"]
    peak = max(phase.peak.mebibytes for phase in (quiet, *phases))
    report = Report(attacks=attacks)
    report.phases = [quiet.describe(), *(phase.describe(quiet) for phase in phases)]
    report.figures = {
        "idle MiB": round(idle.mebibytes, 1),
        "peak MiB": round(peak, 1),
        "MiB at the end": round(left.mebibytes, 1),
        "sockets before and after": [idle.sockets, left.sockets],
        "files before and after": [idle.files, left.files],
        "threads before and after": [idle.threads, left.threads],
        "gauges at the end": gauges,
        "greatest difference": max(phase.tally.worst for phase in (quiet, *phases)),
        "wrong": wrong[:20],
        "exceptions in the log": exceptions[:3],
    }
    report.checks = {
        "every honest answer is right": not wrong and quiet.tally.compared > 0,
        "no 5xx but 503": not find_errors(statuses) and not any(map(find_errors, attacks.values())),
        "at most 1 % of honest requests are refused": n_refused <= MAX_REFUSED * n_honest,
        f"memory stays below {MEMORY_MB} MiB": peak < MEMORY_MB,
        "nothing is queued or in flight": gauges == GAUGES,
        "no socket and no file is left open": left.sockets <= idle.sockets and left.files <= idle.files,
        "no thread is left over": left.threads <= idle.threads + MAX_NEW_THREADS,
        "no exception is logged": not exceptions,
        "it stops cleanly": code == 0,
    }
    if timed:
        ratios = [phase["p99_ratio"] for phase in report.phases[1:]]
        report.checks[f"honest p99 stays under {MAX_RATIO:g} times"] = max(ratios) < MAX_RATIO
    return report


def find_errors(statuses: dict[str, int]) -> list[str]:
    """Return the statuses that are a fault of the service."""
    return [kind for kind in statuses if (kind.split()[-1]).startswith("5") and not kind.endswith("503")]


def format_report(report: Report) -> str:
    """Return three tables: phases, attacks and figures; and the checks."""
    columns = ("honest_per_s", "p50_ms", "p99_ms", "p99_ratio", "cpu_share", "wrong", "peak_mib")
    lines = [" ".join([f"{'phase':36}", *(f"{name:>12}" for name in columns), " statuses"])]
    for phase in report.phases:
        numbers = (f"{phase.get(name, ''):>12}" for name in columns)
        lines.append(" ".join([f"{phase['phase']:36}", *numbers, "", join(phase["statuses"])]))
    lines += ["", *(f"{name:38} {join(did)}" for name, did in report.attacks.items())]
    lines += ["", *(f"{name:38} {value}" for name, value in report.figures.items())]
    return "\n".join(
        [*lines, "", *(f"{name:45} {'yes' if held else 'NO'}" for name, held in report.checks.items())]
    )


def join(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items())
