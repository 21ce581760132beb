"""The bench: what is left to do is done side by side, and all results become two tables."""

import json
import os
import platform
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Protocol

import polars as pl
from tailfuse_service.bundle import write_atomically

from tailfuse_bench.datasets import HEADLINE_IR, OWN_TAIL, SETS, table_in
from tailfuse_bench.methods import METHODS, OURS, SPECIALIST
from tailfuse_bench.pool import Failure, run_all
from tailfuse_bench.records import write_tables
from tailfuse_bench.tasks import CELLS, Cell, Record, Task, code_sha256, read_record

LOG = "bench.json"  # which code, versions and machine made the results, and in how long
PACKAGES = ("tailfuse", "torch", "numpy", "scikit-learn")


class Listener(Protocol):
    """Hears of every task that ends."""

    def finished(self, task: Task, records: Mapping[str, Record]) -> None: ...

    def failed(self, task: Task, failure: Failure) -> None: ...


def plan(
    folders: Mapping[str, Path], ratios: list[int], seeds: Iterable[int], methods: Sequence[str], out: Path
) -> list[Task]:
    """All tasks, those that take long first. Raises SpecError if a method's spec is wrong.

    `folders` has the folder of each set. What explains the headline is left out elsewhere.
    """
    cells = [Cell(name, ir, seed) for name in folders for ir in SETS[name].tails(ratios) for seed in seeds]
    rows = {name: n_rows(folder) for name, folder in folders.items()}
    cells.sort(key=lambda cell: (-rows[cell.set], cell.ir or HEADLINE_IR))
    tasks = []
    for cell in cells:
        at_headline = cell.ir in (HEADLINE_IR, OWN_TAIL)
        chosen = [name for name in methods if at_headline or not METHODS[name].headline_only]
        for shared in trained_together(chosen):
            task = Task(cell, shared, folders[cell.set], out)
            for method in shared:
                task.spec(method)
            tasks.append(task)
    return tasks


def n_rows(folder: Path) -> int:
    """The rows of a set's table."""
    return int(pl.scan_parquet(table_in(folder)).select(pl.len()).collect().item())


def trained_together(methods: Iterable[str]) -> list[tuple[str, ...]]:
    """Those that share their training, as one; what takes longest, a model for every subset, first."""
    groups: dict[str, list[str]] = {}
    for name in sorted(methods, key=lambda name: (name != SPECIALIST, name != OURS)):
        groups.setdefault(METHODS[name].trained_as, []).append(name)
    return [tuple(group) for group in groups.values()]


def of_other_code(records: Iterable[Record]) -> int:
    """How many of the results were made by other code than this."""
    return sum(record.code != code_sha256() for record in records)


def left_to_do(tasks: Iterable[Task]) -> tuple[list[Task], dict[tuple[Cell, str], Record]]:
    """What is to be done yet, and the results that are there: of the same spec, table and tail."""
    left, there = [], {}
    for task in tasks:
        missing = []
        for method in task.methods:
            record = read_record(task.file(method))
            if record is not None and record.fingerprint == task.fingerprint(method):
                there[task.cell, method] = record
            else:
                missing.append(method)
        if missing:
            left.append(replace(task, methods=tuple(missing)))
    return left, there


def do(task: Task) -> None:
    """In a process that needs torch; this one does not."""
    from tailfuse_bench.cell import run_task

    run_task(task)


def run_tasks(tasks: Sequence[Task], jobs: int, listener: Listener) -> int:
    """Do the tasks, `jobs` at a time; how many failed.

    Each result is on disk as soon as it is there; beside it, of one that failed, why.
    """
    failures = 0
    for task, failure in run_all(do, tasks, jobs, kin=lambda task: task.cell):
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


def merge(out: Path) -> None:
    """Write both tables of all results in the folder."""
    records = [record for file in (out / CELLS).glob("*/*.json") if (record := read_record(file))]
    order = {name: at for at, name in enumerate(METHODS)}
    records.sort(key=lambda each: (each.results[0][:3], order.get(each.results[0].method, len(order))))
    write_tables(
        out,
        (result for record in records for result in record.results),
        (each for record in records for each in record.bins),
    )


def write_log(out: Path, seconds: float, jobs: int) -> None:
    """Add this session to the log."""
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
    )
    total = sum(each["seconds"] for each in sessions)
    write_atomically(path, json.dumps({"seconds": total, "sessions": sessions}, indent=1))
