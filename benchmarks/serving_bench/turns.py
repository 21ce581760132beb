"""Every server under every load, in turns: what slows the machine for a while then slows all of them."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tailfuse_service.bundle import Bundle

from serving_bench.load import Figures, ServerFailed, put_under_load, write_requests
from serving_bench.raw import Raw
from serving_bench.results import Cell, Results
from serving_bench.servers import OURS, SERVERS, Running, check_answers, running
from serving_bench.workloads import Workload, json_inputs

WARM_UP_S = 1

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """What is measured, and where."""

    bundle: Path
    workloads: Mapping[str, Workload]
    first: Workload  # what a server is asked until it answers
    expected: Mapping[str, list[dict[str, float]]]  # of every sample, its probabilities
    pythons: Mapping[str, Path]  # that the servers are started with
    connections: Mapping[str, Sequence[int]]  # that each server is measured at
    rounds: int
    seconds: int
    cores: tuple[int, int]  # of the server, of the load
    logs: Path

    def __len__(self) -> int:
        """How many steps `run` tells of."""
        cells = sum(len(self.connections[name]) for name in self.pythons) * len(self.workloads)
        return self.rounds * (1 + cells)


def expected_of(bundle: Bundle, workload: Workload) -> list[dict[str, float]]:
    """The runtime's own probabilities of each sample."""
    classes = bundle.manifest.class_names
    samples = [bundle.sample(json_inputs(sample)) for sample in workload.samples]
    outputs = [bundle.run([sample]).probabilities[0] for sample in samples]
    return [dict(zip(classes, output.tolist(), strict=True)) for output in outputs]


def run(plan: Plan, results: Results, tell: Tell) -> None:
    """All rounds. A peer that fails is left out from there on. Raises ServerFailed if it is the service."""
    plan.logs.mkdir(parents=True, exist_ok=True)
    for at in range(plan.rounds):
        for name, raw in raw_figures(plan).items():
            results.raw[name].append(raw)
        tell(f"round {at + 1} of {plan.rounds}: onnxruntime alone is measured")
        for name in plan.pythons:
            if name in results.left_out:
                continue
            try:
                measure(plan, name, results, tell)
            except ServerFailed as failure:
                if name == OURS:
                    raise
                results.left_out[name] = str(failure)
                tell(f"{name} is left out: {failure}")


def raw_figures(plan: Plan) -> dict[str, Raw]:
    """From a process of its own, on the core of the servers."""
    command = [sys.executable, "-m", "serving_bench.raw", str(plan.bundle), *plan.workloads]
    core = plan.cores[0]
    done = subprocess.run(
        command, stdout=subprocess.PIPE, check=True, preexec_fn=lambda: os.sched_setaffinity(0, {core})
    )
    return {name: Raw(**figures) for name, figures in json.loads(done.stdout).items()}


def measure(plan: Plan, name: str, results: Results, tell: Tell) -> None:
    """One turn of one server; a workload that fails is left out. Raises ServerFailed if it does not start."""
    log = plan.logs / f"{name}.log"
    arguments = (SERVERS[name], plan.pythons[name], plan.bundle, plan.first)
    with running(*arguments, core=plan.cores[0], log=log) as started:
        results.ready_s[name].append(started.ready_s)
        for title in plan.workloads:
            if f"{name}, {title}" in results.left_out:
                continue
            try:
                put_under_loads(plan, name, started, title, results, tell)
            except ServerFailed as failure:
                results.left_out[f"{name}, {title}"] = str(failure)
                tell(f"{name}, {title} is left out: {failure}")


def put_under_loads(
    plan: Plan, name: str, started: Running, title: str, results: Results, tell: Tell
) -> None:
    """One workload at every number of connections, after a moment that does not count.

    Raises ServerFailed.
    """
    server, workload = SERVERS[name], plan.workloads[title]
    if workload.shape not in server.paths:
        raise ServerFailed(server.cannot)
    check_answers(server, started.port, workload, plan.expected[title])
    with tempfile.NamedTemporaryFile() as file:
        requests = Path(file.name)
        write_requests(
            requests, server.requests(workload), port=started.port, target=server.paths[workload.shape]
        )

        def loaded(connections: int, seconds: int) -> Figures:
            return put_under_load(
                started.pid, started.port, requests,
                connections=connections, seconds=seconds, core=plan.cores[1],
            )  # fmt: skip

        with suppress(ServerFailed):  # a moment may be too short for an answer
            loaded(plan.connections[name][-1], WARM_UP_S)
        for connections in plan.connections[name]:
            found = loaded(connections, plan.seconds)
            results.figures[Cell(title, connections, name)].append(found)
            broken = f", {found.errors} errors" * bool(found.errors)
            tell(f"{name}, {title}, {connections}: {found.per_s:,.0f} req/s, {found.cpu_us:,.0f} us{broken}")
