"""Measure two cores beside one: `python -m serving_bench.workers BUNDLE`.

A service of one worker on one core, of one worker on two (its threads decode), and of two workers on two take
turns; 64 connections ask without pause. The load generator needs a core too: on a machine of two it takes
from the second worker. So two figures are printed: the answers per second (`per_s`), and how many times as
much two whole cores would answer as one, twice the ratio of the costs of an answer (`two_cores`).
`busier_worker` is the busier worker's share of the CPU time: 0.5 is an even balance of the connections.
"""

import argparse
import json
import os
import sys
import tempfile
import time
import urllib.request
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

from tailfuse_service.bundle import open_bundle

from serving_bench.load import Figures, ServerFailed, apply_load, write_requests
from serving_bench.process import list_process_tree, read_own_cpu_s
from serving_bench.servers import OURS, SERVERS, START_S, Server, run_server
from serving_bench.workloads import Workload, make_workloads

CONNECTIONS, SECONDS, ROUNDS = 64, 4, 3
WORKLOADS = ("image+tabular", "large")


@dataclass(frozen=True, slots=True)
class Case:
    """A service of `workers` that may run on `cores` cores."""

    workers: int
    cores: int

    @property
    def server(self) -> Server:
        ours = SERVERS[OURS]
        return replace(ours, arguments=(*ours.arguments, "--workers", str(self.workers)))


CASES = {
    "one worker, one core": Case(1, 1),
    "one worker, two cores": Case(1, 2),
    "two workers, two cores": Case(2, 2),
}


def wait_for_workers(port: int, count: int) -> None:
    """Wait until so many workers are ready. Raises ServerFailed."""
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
            if f"tailfuse_workers {count:.1f}" in answer.read().decode():
                return
        time.sleep(0.1)
    raise ServerFailed(f"{count} workers were not ready in {START_S} s")


def measure_case(case: Case, bundle: Path, workload: Workload, folder: Path) -> tuple[Figures, float]:
    """Start the service and apply load; return its figures and the busier worker's share of CPU time."""
    cores = sorted(os.sched_getaffinity(0))
    with run_server(
        case.server, Path(sys.executable), bundle, workload, cores=cores[: case.cores], log=folder / "log"
    ) as started:
        requests = folder / "requests"
        write_requests(
            requests, case.server.requests(workload), port=started.port,
            target=case.server.paths[workload.shape],
        )  # fmt: skip
        wait_for_workers(started.port, case.workers)
        load = {"connections": CONNECTIONS, "core": cores[-1]}
        with suppress(ServerFailed):  # a warm-up may be too short for an answer
            apply_load(started.pid, started.port, requests, seconds=1, **load)
        before = {pid: read_own_cpu_s(pid) for pid in list_process_tree(started.pid)}
        figures = apply_load(started.pid, started.port, requests, seconds=SECONDS, **load)
        taken = [read_own_cpu_s(pid) - cpu for pid, cpu in before.items()]
    return figures, max(taken) / (sum(taken) or 1)


def summarize_case(
    found: list[tuple[Figures, float]], alone: list[tuple[Figures, float]]
) -> dict[str, float]:
    """Return the medians, and what two whole cores would answer for each answer of `alone`'s one."""
    cpu_us = median(figures.cpu_us for figures, _ in found)
    return {
        "per_s": round(median(figures.per_s for figures, _ in found)),
        "cpu_us": round(cpu_us, 1),
        "p99_ms": round(median(figures.p99_ms for figures, _ in found), 1),
        "two_cores": round(2 * median(figures.cpu_us for figures, _ in alone) / cpu_us, 2),
        "busier_worker": round(median(share for _, share in found), 3),
        "errors": sum(figures.errors for figures, _ in found),
    }


def main() -> None:
    """Measure every case, and print a line of JSON for each workload and case."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("bundle", type=Path)
    bundle = options.parse_args().bundle
    workloads = make_workloads(open_bundle(bundle))
    found: dict[tuple[str, str], list[tuple[Figures, float]]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(ROUNDS):
            for title in WORKLOADS:
                for name, case in CASES.items():
                    measured = measure_case(case, bundle, workloads[title], Path(folder))
                    found[title, name].append(measured)
    for (title, name), figures in found.items():
        summary = summarize_case(figures, found[title, next(iter(CASES))])
        print(json.dumps({"workload": title, "service": name, **summary}))


if __name__ == "__main__":
    main()
