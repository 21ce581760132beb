"""Honest callers beside every attack at once on a real service: was every answer right, and what is left?

`python -m tests.support.soak --seconds 180` prints a table, and exits with 1 on a failure. First the honest
callers are alone, for the comparison. With `--each` every attack is run alone for some seconds, to see which
one harms. The service has one core, all callers the other; attacks are a process of their own.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
from prometheus_client.parser import text_string_to_metric_families
from tailfuse_service.bundle import Bundle, open_bundle

from tests.support.attacks import ATTACKS
from tests.support.attacks.target import HONEST_KEY, OTHER_KEY
from tests.support.bundles import write_tiny_bundle
from tests.support.callers import (
    Question,
    Tally,
    be_honest,
    be_hostile,
    honest_questions,
    hostile_questions,
    with_key,
)
from tests.support.process import TIMEOUT_S, Service, environment, start_service

MEMORY_LIMIT_MB = 512
MAX_SLOWER = 3.0  # the honest callers' p99 beside attacks, against theirs alone
MIN_JUDGED_S = 60.0  # a shorter soak is a test of answers and of what is left, not of times
HOSTILE = 8
EACH_S = 10.0
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


@dataclass(frozen=True, slots=True)
class Stage:
    """A running service and what is needed to ask and to attack it."""

    service: Service
    bundle: Bundle
    keys: Path
    bundles: Path
    questions: list[list[Question]]  # of each honest caller

    @property
    def target(self) -> str:
        """The service, as the attackers are told of it."""
        return json.dumps(
            [*self.service.address, self.service.process.pid, str(self.keys), str(self.bundles)]
        )


def measure_footprint(pid: int) -> Footprint:
    process = Path(f"/proc/{pid}")
    status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
    own = Footprint(
        int(status["VmRSS"].split()[0]) / 1024, len(list((process / "fd").iterdir())), int(status["Threads"])
    )
    children = [int(child) for child in (process / f"task/{pid}/children").read_text().split()]
    each = [own]
    for child in children:  # one that tries a bundle may have gone
        with suppress(OSError):
            each.append(measure_footprint(child))
    return Footprint(
        sum(one.mebibytes for one in each), sum(one.files for one in each), sum(one.threads for one in each)
    )


def read_gauges(service: Service) -> dict[str, float]:
    answer = httpx2.get(f"{service.url}/metrics", timeout=TIMEOUT_S, trust_env=False)
    families = text_string_to_metric_families(answer.text)
    return {each.name: each.samples[0].value for each in families if each.name in GAUGES}


def settle(service: Service, idle: Footprint) -> tuple[dict[str, float], Footprint]:
    """The gauges and the footprint once all callers have gone: as before, or as they are after a while."""
    deadline = time.monotonic() + TIMEOUT_S
    while True:
        found, left = read_gauges(service), measure_footprint(service.process.pid)
        if (found == GAUGES and left.files <= idle.files) or time.monotonic() > deadline:
            return found, left
        time.sleep(0.5)


def pin(pid: int, core: int) -> None:
    """Let all threads of a process run on one core, if there are two."""
    if len(os.sched_getaffinity(0)) > 1:
        for thread in Path(f"/proc/{pid}/task").iterdir():
            os.sched_setaffinity(int(thread.name), {core})


async def ask_all(stage: Stage, seconds: float, *, hostile: int = 0) -> tuple[Tally, float]:
    """All honest callers at once, and some that send the corpus; the tally, and the peak of memory in MiB."""
    tally, peak = Tally(), 0.0
    end = time.monotonic() + seconds
    corpus = with_key(hostile_questions(stage.bundle), OTHER_KEY)

    async def watch() -> None:
        nonlocal peak
        while time.monotonic() < end:
            await asyncio.sleep(0.2)
            peak = max(peak, measure_footprint(stage.service.process.pid).mebibytes)

    async with asyncio.timeout(seconds + TIMEOUT_S), asyncio.TaskGroup() as group:
        group.create_task(watch())
        for questions in stage.questions:
            group.create_task(be_honest(stage.service.address, questions, tally, end))
        for seed in range(hostile):
            group.create_task(be_hostile(stage.service.address, corpus, tally, end, seed))
    return tally, peak


def ask_beside(
    stage: Stage, names: Sequence[str], seconds: float, *, hostile: int = 0
) -> tuple[Tally, float, dict[str, dict[str, int]]]:
    """Honest callers beside attacks, which begin before them; also what the attacks met."""
    command = [sys.executable, "-m", "tests.support.attacks", stage.target, str(seconds), *names]
    root = Path(__file__).parents[2]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env=environment(), cwd=root
    ) as attackers:
        try:
            assert attackers.stdout is not None
            assert attackers.stdout.readline() == "ready\n"
            tally, peak = asyncio.run(ask_all(stage, seconds, hostile=hostile))
            output, _ = attackers.communicate(timeout=TIMEOUT_S)
        finally:
            attackers.kill()
    return tally, peak, json.loads(output)


def compute_times(tally: Tally) -> tuple[float, float]:
    """The median and the 99th percentile of the honest callers' times, in ms."""
    p50, p99 = np.percentile(np.array(tally.seconds) * 1000, [50, 99])
    return round(float(p50), 1), round(float(p99), 1)


def soak(folder: Path, *, seconds: float, connections: int, each: bool = False) -> Report:
    """Start a service on the bundle in `folder`, with keys, put the load on it, and see what it did.

    Times are judged only if the soak is long. With `each`, the attacks are also run one by one.
    """
    report = Report()
    with tempfile.TemporaryDirectory() as name:
        keys, bundles = Path(name) / "keys", Path(name) / "bundles"
        keys.write_text(f"honest: {HONEST_KEY}\nother: {OTHER_KEY}\n")
        bundles.mkdir()
        (bundles / "one").symlink_to(folder.resolve())
        flags = (
            "--api-keys",
            str(keys),
            "--memory-limit-mb",
            str(MEMORY_LIMIT_MB),
            "--max-connections",
            "1024",
        )
        service = start_service(bundles, *flags, log=Path(name) / "service.log")
        cores = os.sched_getaffinity(0)
        pin(service.process.pid, min(cores))
        os.sched_setaffinity(0, {max(cores)})
        try:
            bundle = open_bundle(folder)
            questions = [with_key(honest_questions(bundle, seed), HONEST_KEY) for seed in range(connections)]
            stage = Stage(service, bundle, keys, bundles, questions)
            read_gauges(service)
            idle = measure_footprint(service.process.pid)
            alone, _ = asyncio.run(ask_all(stage, seconds / 6))
            tally, peak, met = ask_beside(stage, list(ATTACKS), seconds, hostile=HOSTILE)
            by_attack = {one: ask_beside(stage, [one], EACH_S)[0] for one in ATTACKS} if each else {}
            found, left = settle(service, idle)
            code = service.stop()
            errors = [line for line in service.log_lines() if line["level"] in ("error", "critical")]
        finally:
            os.sched_setaffinity(0, cores)
            service.process.kill()
            service.process.wait()
    judge(report, alone, tally, peak, met, seconds)
    report.figures |= {
        "files before and after": [idle.files, left.files],
        "threads before and after": [idle.threads, left.threads],
        "gauges at the end": found,
        "errors in the log": [line["message"] for line in errors if not is_expected(line)][:5],
        **{f"ms beside {one}": compute_times(times) for one, times in by_attack.items()},
    }
    report.checks |= {
        "no file is left open": left.files <= idle.files,
        "nothing is queued or in flight": found == GAUGES,
        "no error is logged": all(map(is_expected, errors)),
        "it stops cleanly": code == 0,
    }
    return report


def judge(
    report: Report, alone: Tally, tally: Tally, peak: float, met: dict[str, dict[str, int]], seconds: float
) -> None:
    """Judge the answers, the times and the memory."""
    before, during = compute_times(alone), compute_times(tally)
    report.figures |= {
        "seconds": seconds,
        "honest answers per second": round(len(tally.seconds) / seconds, 1),
        "ms alone: median, p99": before,
        "ms beside all attacks": during,
        "p99 against alone": round(during[1] / before[1], 2),
        "peak of memory, MiB": round(peak, 1),
        **{f"answers: {kind}": count for kind, count in sorted(tally.statuses.items())},
        **{f"attack: {name}": counts for name, counts in met.items()},
        "samples compared": tally.compared,
        "greatest difference": tally.worst,
        "wrong": tally.wrong[:20],
    }
    report.checks |= {
        "no 5xx but 503": not any(kind.split()[1][0] == "5" and "503" not in kind for kind in tally.statuses),
        "every answer is right": not tally.wrong and tally.compared > 0,
        f"memory is below {MEMORY_LIMIT_MB} MiB": peak < MEMORY_LIMIT_MB,
    }
    if seconds >= MIN_JUDGED_S:
        report.checks[f"p99 is below {MAX_SLOWER:g} times"] = during[1] < MAX_SLOWER * before[1]


def is_expected(line: dict[str, Any]) -> bool:
    """Whether an error in the log is what an attack is to cause: the broken bundle, the bad line of a key."""
    text = json.dumps(line)
    return "broken" in text or "key" in text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=180)
    parser.add_argument("--connections", type=int, default=256)
    parser.add_argument("--each", action="store_true", help=f"also each attack alone, for {EACH_S:g} s")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        bundle = write_tiny_bundle(Path(folder) / "tiny")
        report = soak(bundle, seconds=given.seconds, connections=given.connections, each=given.each)
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
