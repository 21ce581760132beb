"""A pool of worker processes; a task that fails or kills its process does not affect others."""

import multiprocessing
import os
import signal
import threading
import traceback
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a task failed: one line, and the traceback."""

    why: str
    trace: str = ""


@dataclass(slots=True)
class Worker:
    """A process that runs one task after another; `task` is the index of the current one."""

    process: BaseProcess
    pipe: Connection
    task: int | None = None
    affinity: Hashable = None  # of its latest task


def run_all(
    work: Callable[[T], None], tasks: Sequence[T], jobs: int, affinity: Callable[[T], Hashable] = id
) -> Iterator[tuple[T, Failure | None]]:
    """Run the tasks with `jobs` processes, and yield each task when it has ended.

    Tasks of the same affinity go to the same process, which caches what they share; otherwise tasks start
    in order. `work` is a module's function; tasks can be pickled. Closing the iterator kills running tasks.
    """
    queue = dict(enumerate(map(affinity, tasks)))
    workers: list[Worker] = []
    try:
        workers += [start_worker(work) for _ in range(min(jobs, len(tasks)))]
        for worker in workers:
            assign_task(worker, tasks, queue, workers)
        while busy := {worker.pipe: worker for worker in workers if worker.task is not None}:
            for pipe in wait(list(busy)):
                worker = busy[pipe]  # type: ignore[index]  # wait() knows no connections
                task, outcome = tasks[worker.task or 0], receive_outcome(worker)
                if not worker.process.is_alive():
                    workers[workers.index(worker)] = worker = start_worker(work)
                assign_task(worker, tasks, queue, workers)
                yield task, outcome
    finally:
        for worker in workers:
            worker.process.kill()
        for worker in workers:
            worker.process.join()
            worker.pipe.close()


def start_worker(work: Callable[[T], None]) -> Worker:
    """Start a process that waits for tasks."""
    # Spawn, because the threads of torch and OpenMP do not survive a fork.
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=serve_tasks, args=(there,), daemon=True)
    process.start()
    there.close()
    here.send(work)
    return Worker(process, here)


def assign_task(
    worker: Worker, tasks: Sequence[T], queue: dict[int, Hashable], workers: Sequence[Worker]
) -> None:
    """Assign the next task: of the worker's affinity, else of nobody else's, else the oldest."""
    others = {each.affinity for each in workers if each is not worker and each.task is not None}
    mine = (task for task, affinity in queue.items() if affinity == worker.affinity)
    free = (task for task, affinity in queue.items() if affinity not in others)
    worker.task = next(chain(mine, free, queue), None)
    if worker.task is not None:
        worker.affinity = queue.pop(worker.task)
        with suppress(BrokenPipeError):  # the process died; receive_outcome reports it
            worker.pipe.send(tasks[worker.task])


def receive_outcome(worker: Worker) -> Failure | None:
    """Return why the worker's task failed; None if it succeeded."""
    try:
        outcome: Failure | None = worker.pipe.recv()
    except (EOFError, ConnectionResetError):
        worker.process.join()
        status = worker.process.exitcode or 0
        how = signal.Signals(-status).name if status < 0 else f"exit status {status}"
        return Failure(f"its process died ({how})")
    return outcome


def serve_tasks(pipe: Connection) -> None:
    """Run tasks until the parent process ends. A worker uses one core."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles Ctrl-C
    threading.Thread(target=exit_with_parent, daemon=True).start()
    os.environ["OMP_NUM_THREADS"] = "1"  # read when `work` loads numpy and torch
    with suppress(EOFError, BrokenPipeError):  # the parent has ended
        work = pipe.recv()
        while True:
            task = pipe.recv()
            pipe.send(try_task(work, task))


def try_task(work: Callable[[T], None], task: T) -> Failure | None:
    """Run one task. Return why it failed; None if it succeeded."""
    try:
        work(task)
    except Exception as error:
        return Failure(f"{type(error).__name__}: {error}", traceback.format_exc())
    return None


def exit_with_parent() -> None:
    """Wait for the parent process to end, then end this process at once."""
    parent = multiprocessing.parent_process()
    if parent:
        parent.join()
    os._exit(1)
