"""Measure every server under every load, round robin: a slow phase of the machine then affects all alike."""

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

from serving_bench.load import Figures, ServerFailed, apply_load, write_requests
from serving_bench.raw import Raw
from serving_bench.results import Load, Results
from serving_bench.servers import OURS, SERVERS, Running, check_answers, run_server
from serving_bench.workloads import Workload, encode_inputs

WARM_UP_S = 1

Report = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """The measurements to make, and their output."""

    bundle: Path
    workloads: Mapping[str, Workload]
    first: Workload  # sent to a server until it answers
    expected: Mapping[str, list[dict[str, float]]]  # probabilities of every sample
    pythons: Mapping[str, Path]  # interpreter of each server
    connections: Mapping[str, Sequence[int]]  # numbers of connections of each server
    rounds: int
    seconds: int
    cores: tuple[int, int]  # of the server, of the load
    logs: Path

    def __len__(self) -> int:
        """Number of steps that `run` reports."""
        loads = sum(len(self.connections[name]) for name in self.pythons) * len(self.workloads)
        return self.rounds * (1 + loads)


def compute_expected(bundle: Bundle, workload: Workload) -> list[dict[str, float]]:
    """Compute the runtime's probabilities of each sample."""
    classes = bundle.manifest.class_names
    samples = [bundle.sample(encode_inputs(sample)) for sample in workload.samples]
    outputs = [bundle.run([sample]).probabilities[0] for sample in samples]
    return [dict(zip(classes, output.tolist(), strict=True)) for output in outputs]


def run(plan: Plan, results: Results, report: Report) -> None:
    """Run all rounds. A failed peer is left out afterwards. Raises ServerFailed if the service fails."""
    plan.logs.mkdir(parents=True, exist_ok=True)
    for at in range(plan.rounds):
        for name, raw in measure_raw_figures(plan).items():
            results.raw[name].append(raw)
        report(f"round {at + 1} of {plan.rounds}: measured onnxruntime alone")
        for name in plan.pythons:
            if name in results.left_out:
                continue
            try:
                measure_server(plan, name, results, report)
            except ServerFailed as failure:
                if name == OURS:
                    raise
                results.left_out[name] = str(failure)
                report(f"{name} is left out: {failure}")


def measure_raw_figures(plan: Plan) -> dict[str, Raw]:
    """Measure in a separate process on the servers' core."""
    command = [sys.executable, "-m", "serving_bench.raw", str(plan.bundle), *plan.workloads]
    core = plan.cores[0]
    done = subprocess.run(
        command, stdout=subprocess.PIPE, check=True, preexec_fn=lambda: os.sched_setaffinity(0, {core})
    )
    return {name: Raw(**figures) for name, figures in json.loads(done.stdout).items()}


def measure_server(plan: Plan, name: str, results: Results, report: Report) -> None:
    """Measure one server; failed workloads are left out. Raises ServerFailed if it does not start."""
    log = plan.logs / f"{name}.log"
    arguments = (SERVERS[name], plan.pythons[name], plan.bundle, plan.first)
    with run_server(*arguments, cores=plan.cores[:1], log=log) as started:
        results.ready_s[name].append(started.ready_s)
        for title in plan.workloads:
            if f"{name}, {title}" in results.left_out:
                continue
            try:
                apply_loads(plan, name, started, title, results, report)
            except ServerFailed as failure:
                results.left_out[f"{name}, {title}"] = str(failure)
                report(f"{name}, {title} is left out: {failure}")


def apply_loads(
    plan: Plan, name: str, started: Running, title: str, results: Results, report: Report
) -> None:
    """Measure one workload at every number of connections, after a warm-up. Raises ServerFailed."""
    server, workload = SERVERS[name], plan.workloads[title]
    if workload.shape not in server.paths:
        raise ServerFailed(server.unsupported)
    check_answers(server, started.port, workload, plan.expected[title])
    with tempfile.NamedTemporaryFile() as file:
        requests = Path(file.name)
        write_requests(
            requests, server.requests(workload), port=started.port, target=server.paths[workload.shape]
        )

        def apply(connections: int, seconds: int) -> Figures:
            return apply_load(
                started.pid, started.port, requests,
                connections=connections, seconds=seconds, core=plan.cores[1],
            )  # fmt: skip

        with suppress(ServerFailed):  # a warm-up may be too short for an answer
            apply(plan.connections[name][-1], WARM_UP_S)
        for connections in plan.connections[name]:
            found = apply(connections, plan.seconds)
            results.figures[Load(title, connections, name)].append(found)
            broken = f", {found.errors} errors" * bool(found.errors)
            report(
                f"{name}, {title}, {connections}: {found.per_s:,.0f} req/s, {found.cpu_us:,.0f} us{broken}"
            )
