"""Many honest and hostile callers at once on a real service; then: was every answer right, and what is left?

`python -m tests.support.soak --seconds 180 --connections 256` prints a table, and exits with 1 on a failure.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import httpx2
from prometheus_client.parser import text_string_to_metric_families
from tailfuse_service.bundle import Bundle, open_bundle

from tests.support.bundles import write_tiny_bundle
from tests.support.callers import Tally, be_honest, be_hostile, honest_questions, hostile_questions
from tests.support.process import TIMEOUT_S, Service, start_service

HOSTILE_SHARE = 0.25
WARM_UP_S = 20.0
WINDOW_S = 5  # memory is the median over so long
FLAT = 0.05
GAUGES = {"tailfuse_requests_in_flight": 1.0, "tailfuse_queue_depth": 0.0}  # the 1 is who asks


@dataclass(frozen=True, slots=True)
class Footprint:
    """What a process and its children hold."""

    mebibytes: float
    files: int
    threads: int


@dataclass(slots=True)
class Report:
    """The figures, and the checks by name."""

    figures: dict[str, Any] = field(default_factory=dict)
    checks: dict[str, bool] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        return all(self.checks.values())


def footprint(pid: int) -> Footprint:
    process = Path(f"/proc/{pid}")
    status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
    own = Footprint(
        int(status["VmRSS"].split()[0]) / 1024, len(list((process / "fd").iterdir())), int(status["Threads"])
    )
    children = [int(child) for child in (process / f"task/{pid}/children").read_text().split()]
    each = [own, *map(footprint, children)]
    return Footprint(
        sum(one.mebibytes for one in each), sum(one.files for one in each), sum(one.threads for one in each)
    )


def gauges(service: Service) -> dict[str, float]:
    text = httpx2.get(f"{service.url}/metrics", timeout=TIMEOUT_S, trust_env=False).text
    families = text_string_to_metric_families(text)
    return {each.name: each.samples[0].value for each in families if each.name in GAUGES}


def settled(service: Service, idle: Footprint) -> tuple[dict[str, float], Footprint]:
    """The gauges and the footprint once all callers have gone: as before, or as they are after a while."""
    deadline = time.monotonic() + TIMEOUT_S
    while True:
        found, left = gauges(service), footprint(service.process.pid)
        if (found == GAUGES and left.files <= idle.files) or time.monotonic() > deadline:
            return found, left
        time.sleep(0.5)


async def load(
    service: Service, bundle: Bundle, *, seconds: float, connections: int
) -> tuple[Tally, list[tuple[float, Footprint]]]:
    """All callers at once; the footprint of every second."""
    tally = Tally()
    hostile = round(connections * HOSTILE_SHARE)
    own = [honest_questions(bundle, seed) for seed in range(connections - hostile)]
    corpus = hostile_questions(bundle)
    start = time.monotonic()
    end = start + seconds
    seen: list[tuple[float, Footprint]] = []

    async def watch() -> None:
        while time.monotonic() < end:
            await asyncio.sleep(1)
            seen.append((time.monotonic() - start, footprint(service.process.pid)))

    async with asyncio.timeout(seconds + TIMEOUT_S), asyncio.TaskGroup() as group:
        group.create_task(watch())
        for questions in own:
            group.create_task(be_honest(service.address, questions, tally, end))
        for seed in range(hostile):
            group.create_task(be_hostile(service.address, corpus, tally, end, seed))
    return tally, seen


def soak(folder: Path, *, seconds: float, connections: int) -> Report:
    """Start a service on the bundle in `folder`, put the load on it, and see what it did and what is left.

    Memory and threads are judged only if there is time for a warm-up before.
    """
    bundle = open_bundle(folder)
    report = Report()
    with tempfile.TemporaryDirectory() as logs:
        service = start_service(folder, log=Path(logs) / "service.log")
        try:
            gauges(service)
            idle = footprint(service.process.pid)
            tally, seen = asyncio.run(load(service, bundle, seconds=seconds, connections=connections))
            found, left = settled(service, idle)
            code = service.stop()
            errors = [line for line in service.log_lines() if line["level"] in ("error", "critical")]
        finally:
            service.process.kill()
            service.process.wait()
    answered = sum(count for kind, count in tally.statuses.items() if kind.startswith("honest"))
    report.figures = {
        "seconds": seconds,
        "connections": connections,
        "honest requests per second": round(answered / seconds, 1),
        **{f"answers: {kind}": count for kind, count in sorted(tally.statuses.items())},
        "samples compared": tally.compared,
        "greatest difference": tally.worst,
        "wrong": tally.wrong[:20],
        "files before and after": [idle.files, left.files],
        "gauges at the end": found,
        "errors in the log": errors[:5],
    }
    report.checks = {
        "no 5xx": not any(kind.split()[1].startswith("5") for kind in tally.statuses),
        "every answer is right": not tally.wrong and tally.compared > 0,
        "no file is left open": left.files <= idle.files,
        "nothing is queued or in flight": found == GAUGES,
        "no error is logged": not errors,
        "it stops cleanly": code == 0,
    }
    if seconds >= WARM_UP_S + 2 * WINDOW_S:
        judge_growth(report, seen)
    return report


def judge_growth(report: Report, seen: list[tuple[float, Footprint]]) -> None:
    """Between the end of the warm-up and the end."""
    last = seen[-1][0]
    early = [each for at, each in seen if WARM_UP_S <= at < WARM_UP_S + WINDOW_S]
    late = [each for at, each in seen if at > last - WINDOW_S]
    before, after = (median(each.mebibytes for each in window) for window in (early, late))
    threads = [max(each.threads for each in window) for window in (early, late)]
    report.figures |= {
        "MiB after the warm-up and at the end": [round(before, 1), round(after, 1)],
        "growth": f"{after / before - 1:+.2%}",
        "threads after the warm-up and at the end": threads,
    }
    report.checks |= {
        f"memory is flat to {FLAT:.0%}": after <= before * (1 + FLAT),
        "no thread is left over": threads[1] <= threads[0],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=180)
    parser.add_argument("--connections", type=int, default=256)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        report = soak(
            write_tiny_bundle(Path(folder) / "tiny"), seconds=given.seconds, connections=given.connections
        )
    if given.json:
        print(json.dumps({"figures": report.figures, "checks": report.checks}, indent=2))
    else:
        for name, value in report.figures.items():
            print(f"{name:42} {value}")
        for name, passed in report.checks.items():
            print(f"{name:42} {'yes' if passed else 'NO'}")
    sys.exit(not report.passed)


if __name__ == "__main__":
    main()
