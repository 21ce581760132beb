"""Tasks in processes of their own: one that fails, or dies, takes no other with it."""

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
    """Why a task failed: in one line, and where."""

    why: str
    trace: str = ""


@dataclass(slots=True)
class Worker:
    """A process that does one task after another; `task` is the one that it is at, by its place."""

    process: BaseProcess
    pipe: Connection
    task: int | None = None
    kin: Hashable = None  # of its last task


def run_all(
    work: Callable[[T], None], tasks: Sequence[T], jobs: int, kin: Callable[[T], Hashable] = id
) -> Iterator[tuple[T, Failure | None]]:
    """Do the tasks, `jobs` at a time; each comes out when it is done.

    In order, but that tasks of the same `kin` go to the same process, which keeps what they share. `work` is
    a function of a module, and what goes to it can be pickled. What is under way when the iterator is
    closed is killed.
    """
    queue = dict(enumerate(map(kin, tasks)))
    workers: list[Worker] = []
    try:
        workers += [started(work) for _ in range(min(jobs, len(tasks)))]
        for worker in workers:
            give(worker, tasks, queue, workers)
        while busy := {worker.pipe: worker for worker in workers if worker.task is not None}:
            for pipe in wait(list(busy)):
                worker = busy[pipe]  # type: ignore[index]  # wait() knows no connections
                task, outcome = tasks[worker.task or 0], outcome_of(worker)
                if not worker.process.is_alive():
                    workers[workers.index(worker)] = worker = started(work)
                give(worker, tasks, queue, workers)
                yield task, outcome
    finally:
        for worker in workers:
            worker.process.kill()
        for worker in workers:
            worker.process.join()
            worker.pipe.close()


def started(work: Callable[[T], None]) -> Worker:
    """A process that waits for tasks."""
    # Spawned: what torch and OpenMP have started in this process does not survive a fork.
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=serve, args=(there,), daemon=True)
    process.start()
    there.close()
    here.send(work)
    return Worker(process, here)


def give(worker: Worker, tasks: Sequence[T], queue: dict[int, Hashable], workers: Sequence[Worker]) -> None:
    """The worker's next task, if there is one: of its kin, else of nobody else's, else the first."""
    others = {each.kin for each in workers if each is not worker and each.task is not None}
    mine = (task for task, kin in queue.items() if kin == worker.kin)
    free = (task for task, kin in queue.items() if kin not in others)
    worker.task = next(chain(mine, free, queue), None)
    if worker.task is not None:
        worker.kin = queue.pop(worker.task)
        with suppress(BrokenPipeError):  # it has died; its end of the pipe will say so
            worker.pipe.send(tasks[worker.task])


def outcome_of(worker: Worker) -> Failure | None:
    """What became of its task."""
    try:
        outcome: Failure | None = worker.pipe.recv()
    except (EOFError, ConnectionResetError):
        worker.process.join()
        status = worker.process.exitcode or 0
        how = signal.Signals(-status).name if status < 0 else f"exit status {status}"
        return Failure(f"its process died ({how})")
    return outcome


def serve(pipe: Connection) -> None:
    """The life of a worker. It uses one core, and does not outlive the process that started it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for that process to hear
    threading.Thread(target=end_with_parent, daemon=True).start()
    os.environ["OMP_NUM_THREADS"] = "1"  # read when numpy and torch are loaded, with `work`
    with suppress(EOFError, BrokenPipeError):  # that process has gone
        work = pipe.recv()
        while True:
            task = pipe.recv()
            pipe.send(outcome_in_here(work, task))


def outcome_in_here(work: Callable[[T], None], task: T) -> Failure | None:
    """Do a task."""
    try:
        work(task)
    except Exception as error:
        return Failure(f"{type(error).__name__}: {error}", traceback.format_exc())
    return None


def end_with_parent() -> None:
    """Wait for the process that started this one to end, and end too, whatever is under way."""
    parent = multiprocessing.parent_process()
    if parent:
        parent.join()
    os._exit(1)
