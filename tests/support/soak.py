"""Honest connections beside every attack at once, on a service of one core; then what is left.

`python -m tests.support.soak --seconds 180 --connections 256` prints a table, and exits with 1 on a failure.
With `--each SECONDS`, each attack is alone beside the honest callers, so that one sees which one harms.
"""

import argparse
import asyncio
import json
import os
import sys
import time
from dataclasses import replace
from typing import Any

import uvloop

from tests.support.attacks.__main__ import BEGUN
from tests.support.attacks.registry import ATTACKS
from tests.support.callers import Question, Tally, ask_corpus, be_honest, honest_questions, hostile_questions
from tests.support.footprint import Footprint, measure_cpu_s
from tests.support.process import TIMEOUT_S
from tests.support.soak_report import Phase, Report, format_report, judge
from tests.support.soak_service import (
    ATTACKER_KEY,
    GAUGES,
    N_CLIENTS,
    SoakService,
    get_key,
    make_attack_order,
    run_soak_service,
)

WARM_UP_S = 2.0
PAUSE_S = 2.0  # after an attack alone, so that the next one does not get its rest
SETTLE_S = 30.0
CORPUS = "hostile corpus"  # asked by this process, which knows the right answers


class Load:
    """The honest callers: the same ones in every phase."""

    def __init__(self, soaked: SoakService, connections: int) -> None:
        self.soaked = soaked
        self._callers: list[tuple[str, list[Question]]] = [
            (f"127.0.1.{client + 1}", honest_questions(soaked.bundle, seed, x_api_key=get_key(client)))
            for seed in range(connections)
            for client in (seed % N_CLIENTS,)
        ]
        self._corpus = hostile_questions(soaked.bundle, x_api_key=ATTACKER_KEY)

    async def run(self, name: str, attacks: list[str], seconds: float) -> Phase:
        """Run the callers beside these attacks, which begin when all they send has been made."""
        process = await start_attacks(self.soaked, [each for each in attacks if each != CORPUS], seconds)
        begin, cpu_s = time.monotonic(), measure_cpu_s(self.soaked.pid)
        end = begin + seconds
        tally = Tally()
        address = self.soaked.service.address
        async with asyncio.timeout(seconds + TIMEOUT_S), asyncio.TaskGroup() as group:
            peak = group.create_task(watch_peak(self.soaked, end))
            for source, questions in self._callers:
                group.create_task(be_honest(address, questions, tally, end, source))
            if CORPUS in attacks:
                group.create_task(ask_corpus(address, self._corpus, tally, end, "127.0.2.250"))
        cpu_share = (measure_cpu_s(self.soaked.pid) - cpu_s) / (time.monotonic() - begin)
        return Phase(name, seconds, tally, await end_attacks(process), peak.result(), cpu_share)


async def start_attacks(
    soaked: SoakService, names: list[str], seconds: float
) -> asyncio.subprocess.Process | None:
    """Start the process of attackers, and wait until it begins."""
    if not names:
        return None
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.support.attacks", stdin=pipe, stdout=pipe, env=dict(os.environ)
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(make_attack_order(soaked.target, names, seconds))
    process.stdin.close()
    begun = await asyncio.wait_for(process.stdout.readline(), TIMEOUT_S)
    assert begun.decode().strip() == BEGUN, "the attackers did not begin"
    return process


async def end_attacks(process: asyncio.subprocess.Process | None) -> dict[str, dict[str, int]]:
    """Return what each attack did and got."""
    if process is None:
        return {}
    out, _ = await asyncio.wait_for(process.communicate(), TIMEOUT_S)
    assert process.returncode == 0, "the attackers failed"
    did: dict[str, dict[str, int]] = json.loads(out)
    return did


async def watch_peak(soaked: SoakService, end: float) -> Footprint:
    """Return the footprint of the moment with most memory, of all half seconds."""
    peak = soaked.measure()
    while time.monotonic() < end:
        await asyncio.sleep(0.5)
        now = soaked.measure()
        if now.mebibytes > peak.mebibytes:
            peak = now
    return peak


def settle(soaked: SoakService, idle: Footprint) -> tuple[dict[str, float], Footprint]:
    """Return the gauges and the footprint once all callers have gone: as before, or after a while."""
    deadline = time.monotonic() + SETTLE_S
    while True:
        gauges, left = soaked.read_gauges(), soaked.measure()
        is_idle = left.files <= idle.files and left.sockets <= idle.sockets
        if (gauges == GAUGES and is_idle) or time.monotonic() > deadline:
            return gauges, left
        time.sleep(0.5)


async def run_phases(
    load: Load, names: list[str], *, seconds: float, each_s: float, quiet_s: float
) -> tuple[Phase, list[Phase]]:
    """Run the honest callers alone, and then beside each attack, or beside all of them."""
    if quiet_s > WARM_UP_S:
        await load.run("warm-up", [], WARM_UP_S)
    quiet = await load.run("no attack", [], quiet_s)
    if not each_s:
        return quiet, [await load.run("all attacks", names, seconds)]
    phases = []
    for name in names:
        phases.append(await load.run(name, [name], each_s))
        await asyncio.sleep(PAUSE_S)
    return quiet, phases


def soak(
    *, seconds: float, connections: int, each_s: float = 0.0, quiet_s: float = 20.0,
    names: list[str] | None = None, timed: bool = True,
) -> Report:  # fmt: skip
    """Start a service, put the load on it, and judge what it did and what is left."""
    names = [*ATTACKS, CORPUS] if names is None else names
    load_before = os.getloadavg()[0]
    with run_soak_service() as soaked:
        load = Load(soaked, connections)
        soaked.read_gauges()
        idle = soaked.measure()
        quiet, phases = uvloop.run(run_phases(load, names, seconds=seconds, each_s=each_s, quiet_s=quiet_s))
        gauges, left = settle(soaked, idle)
        code = soaked.service.stop()
        report = judge(soaked, quiet, phases, idle, left, gauges, code, timed=timed)
    figures: dict[str, Any] = {
        "seconds": each_s or seconds,
        "connections": connections,
        "load average before": round(load_before, 1),
    }
    return replace(report, figures=figures | report.figures)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=180, help="of all attacks at once")
    parser.add_argument("--connections", type=int, default=256, help="of honest callers")
    parser.add_argument("--each", type=float, default=0.0, help="seconds of each attack alone")
    parser.add_argument("--quiet-seconds", type=float, default=20.0, help="without attacks, before")
    parser.add_argument("--attacks", nargs="+", choices=[*ATTACKS, CORPUS], help="only these")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    given = parser.parse_args()
    report = soak(
        seconds=given.seconds,
        connections=given.connections,
        each_s=given.each,
        quiet_s=given.quiet_seconds,
        names=given.attacks,
    )
    print(json.dumps(report.as_json(), indent=2) if given.json else format_report(report))
    sys.exit(not report.passed)


if __name__ == "__main__":
    main()
