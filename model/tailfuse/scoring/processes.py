"""Score shards with processes of this machine. One that dies costs its shard a second attempt, no more."""

import signal
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import wait

from joblib import cpu_count

from tailfuse.child_process import ChildProcess, start_child
from tailfuse.errors import RunError
from tailfuse.scoring.score_shard import Outcome, Setup, Task

MAX_ATTEMPTS = 2  # at a shard whose process dies: the kernel may have killed it for want of memory


@dataclass(slots=True)
class Worker:
    """A process, the task that it has, and how many of the task's rows it has answered."""

    child: ChildProcess
    task: Task | None = None
    rows: int = 0


def run_in_processes(setup: Setup, tasks: Sequence[Task], processes: int | None) -> Iterator[int | Outcome]:
    """Yield numbers of rows as they are answered, and the outcome of each task when it is done.

    A number is negative if rows have to be answered again: their process has died. Closing the iterator kills
    the processes. Raises BundleError if the bundle cannot be opened, RunError if a process cannot be started.
    """
    waiting = deque(tasks)
    attempts = dict.fromkeys((task.name for task in tasks), 0)
    workers: list[Worker] = []
    try:
        # cpu_count knows the quota of a container, which os.cpu_count does not.
        workers += [start_worker(setup) for _ in range(min(processes or cpu_count(), len(tasks)))]
        for worker in workers:
            assign_task(worker, waiting, attempts)
        while busy := {each.child.connection: each for each in workers if each.task is not None}:
            for connection in wait(list(busy)):
                worker = busy[connection]  # type: ignore[index]  # wait() knows no connections
                message = worker.child.receive()
                if isinstance(message, Exception):
                    raise message
                if message is None:
                    yield -worker.rows
                    failure = replace_dead_worker(worker, setup, waiting, attempts)
                    if failure is not None:
                        yield failure
                elif isinstance(message, Outcome):
                    worker.task = None
                    yield message
                else:
                    worker.rows += message
                    yield message
                if worker.task is None:
                    assign_task(worker, waiting, attempts)
    finally:
        for worker in workers:
            worker.child.kill()


def start_worker(setup: Setup) -> Worker:
    """Start a process that opens the bundle."""
    child = start_child("tailfuse.scoring.worker")
    child.send(setup)
    return Worker(child)


def assign_task(worker: Worker, waiting: deque[Task], attempts: dict[str, int]) -> None:
    """Send the next task, if there is one."""
    worker.task, worker.rows = waiting.popleft() if waiting else None, 0
    if worker.task is not None:
        attempts[worker.task.name] += 1
        worker.child.send(worker.task)


def replace_dead_worker(
    worker: Worker, setup: Setup, waiting: deque[Task], attempts: dict[str, int]
) -> Outcome | None:
    """Start another process in its place. Return the outcome of its task if that has failed.

    Raises RunError if the process was not killed, but ended with an error of its own.
    """
    task = worker.task
    assert task is not None  # only workers with a task are waited for
    worker.child.connection.close()
    status = worker.child.process.wait()
    how = f"was killed ({signal.Signals(-status).name})" if status < 0 else f"ended with exit status {status}"
    if status > 0:  # it could not start, or it has a fault: another one would fare no better
        raise RunError(f"a process of the scoring {how}; the lines above say why")
    worker.child, worker.task = start_worker(setup).child, None
    if attempts[task.name] < MAX_ATTEMPTS:
        waiting.appendleft(task)
        return None
    hint = "; with fewer --processes each has more memory" if status == -signal.SIGKILL else ""
    return Outcome(
        task, failure=f"{task.source}: the process that scored it {how}, {MAX_ATTEMPTS} times{hint}"
    )
