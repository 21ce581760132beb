"""Plan the tasks, run the remaining ones in parallel, and merge all results into two tables."""

import json
import os
import platform
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Protocol

from tailfuse_service.bundle import write_atomically

from tailfuse_bench.datasets import HEADLINE_IR, ORIGINAL_IR, find_dataset, find_table
from tailfuse_bench.methods import METHODS, OURS, SPECIALIST
from tailfuse_bench.pool import Failure, run_all
from tailfuse_bench.records import write_tables
from tailfuse_bench.rivals.environment import Environment
from tailfuse_bench.tasks import EXPERIMENTS, Experiment, Record, Task, code_sha256, read_record

LOG = "bench.json"  # code, versions, machine and time of each run
PACKAGES = ("tailfuse", "torch", "numpy", "scikit-learn")


class Listener(Protocol):
    """Is notified of every task that ends."""

    def finished(self, task: Task, records: Mapping[str, Record]) -> None:
        """Called when a task has ended."""

    def failed(self, task: Task, failure: Failure) -> None:
        """Called when a task has failed."""


def plan_tasks(
    folders: Mapping[str, Path], ratios: list[int], seeds: Iterable[int], methods: Sequence[str], out: Path,
    missing: Sequence[int] = (0,), environment: Environment | None = None,
) -> list[Task]:  # fmt: skip
    """Return all tasks, those of the largest tables first. Raises SpecError if a method's spec is invalid.

    `folders` maps datasets to their folders, `missing` are per cent of the modalities, and rivals run in
    `environment`. Methods that explain the headline run at its ratio only, with all modalities.
    """
    experiments = [
        Experiment(name, ir, seed, percent)
        for name, folder in folders.items()
        for ir in find_dataset(name, folder).select_ratios(ratios)
        for seed in seeds
        for percent in missing
    ]
    size = {name: find_table(name, folder).stat().st_size for name, folder in folders.items()}
    experiments.sort(key=lambda experiment: (-size[experiment.dataset], experiment.ir or HEADLINE_IR))
    tasks = []
    for experiment in experiments:
        folder = folders[experiment.dataset]
        for shared in group_by_training(select_applicable(methods, experiment, folder)):
            task = Task(experiment, shared, folder, out, environment)
            for method in shared:
                task.spec(method)
            tasks.append(task)
    return tasks


def select_applicable(methods: Sequence[str], experiment: Experiment, folder: Path) -> list[str]:
    """Return the methods that are run in an experiment on the dataset in `folder`."""
    headline = experiment.ir in (HEADLINE_IR, ORIGINAL_IR) and not experiment.missing
    has_text = find_dataset(experiment.dataset, folder).has_text
    return [
        name
        for name in methods
        if (headline or not METHODS[name].headline_only)
        and (has_text or not METHODS[name].needs_text)
        and METHODS[name].dataset in (None, experiment.dataset)
    ]


def group_by_training(methods: Iterable[str]) -> list[tuple[str, ...]]:
    """Group methods that share their training. The slowest, one model per subset, comes before the others."""
    groups: dict[str, list[str]] = {}
    for name in sorted(methods, key=lambda name: (name != SPECIALIST, name != OURS)):
        groups.setdefault(METHODS[name].training_key, []).append(name)
    return [tuple(group) for group in groups.values()]


def count_outdated(records: Iterable[Record]) -> int:
    """Count the results that other code made."""
    return sum(record.code != code_sha256() for record in records)


def find_remaining(tasks: Iterable[Task]) -> tuple[list[Task], dict[tuple[Experiment, str], Record]]:
    """Return the remaining tasks, and the finished results with equal fingerprints."""
    left, done = [], {}
    for task in tasks:
        missing = []
        for method in task.methods:
            record = read_record(task.file(method))
            if record is not None and record.fingerprint == task.fingerprint(method):
                done[task.experiment, method] = record
            else:
                missing.append(method)
        if missing:
            left.append(replace(task, methods=tuple(missing)))
    return left, done


def run_in_worker(task: Task) -> None:
    """Run a task in a worker process. Torch is imported there only."""
    from tailfuse_bench.experiment import run_task

    run_task(task)


def run_tasks(tasks: Sequence[Task], jobs: int, listener: Listener) -> int:
    """Run the tasks with `jobs` processes. Return how many failed.

    Results are written as soon as they exist. The traceback of a failed task is written next to them.
    """
    failures = 0
    for task, failure in run_all(run_in_worker, tasks, jobs, affinity=lambda task: task.experiment):
        trace = task.file(task.methods[0]).with_suffix(".failed.txt")
        if failure is None:
            trace.unlink(missing_ok=True)
            found = {method: read_record(task.file(method)) for method in task.methods}
            listener.finished(task, {method: record for method, record in found.items() if record})
        else:
            failures += 1
            trace.parent.mkdir(parents=True, exist_ok=True)
            trace.write_text(failure.trace or failure.why)
            listener.failed(task, failure)
    return failures


def merge_results(out: Path) -> None:
    """Merge all results in the folder into both tables."""
    records = [record for file in (out / EXPERIMENTS).glob("*/*.json") if (record := read_record(file))]
    order = {name: at for at, name in enumerate(METHODS)}
    records.sort(
        key=lambda each: (
            each.results[0][:3], condition_order(each), order.get(each.results[0].method, len(order)),
        )
    )  # fmt: skip
    write_tables(
        out,
        (result for record in records for result in record.results),
        (each for record in records for each in record.bins),
    )


def condition_order(record: Record) -> tuple[bool, str]:
    """Return a key that sorts clean results before those with missing modalities."""
    condition = record.results[0].condition
    return condition.startswith("missing_"), condition


def write_log(out: Path, seconds: float, jobs: int, rivals: Mapping[str, object]) -> None:
    """Append this run to the log; `rivals` describes their environment, if they were asked for."""
    path = out / LOG
    sessions = json.loads(path.read_text())["sessions"] if path.exists() else []
    sessions.append(
        {
            "ended": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "seconds": round(seconds),
            "jobs": jobs,
            "code_sha256": code_sha256(),
            "versions": {"python": platform.python_version()} | {name: version(name) for name in PACKAGES},
            "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        }
        | ({"rivals": rivals} if rivals else {})
    )
    total = sum(each["seconds"] for each in sessions)
    write_atomically(path, json.dumps({"seconds": total, "sessions": sessions}, indent=1))
