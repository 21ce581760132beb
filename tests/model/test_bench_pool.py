"""Tasks in processes of their own. What they do is in the standard library: a new process must find it."""

import math
import multiprocessing
import os
import signal
import time
from pathlib import Path

from model.bench.pool import run_all


def outcomes(work, tasks: list, jobs: int) -> dict:
    return {task: failure and failure.why for task, failure in run_all(work, tasks, jobs)}


def test_one_that_fails_stops_no_other() -> None:
    assert outcomes(math.sqrt, [4, -1, 9], jobs=1) == {4: None, -1: "ValueError: math domain error", 9: None}


def test_the_trace_says_where_it_failed() -> None:
    [(_, failure)] = run_all(math.sqrt, [-1], 1)
    assert failure is not None
    assert "Traceback" in failure.trace


def test_a_process_that_dies_is_replaced() -> None:
    assert outcomes(os._exit, [3, 4], jobs=1) == {
        3: "its process died (exit status 3)",
        4: "its process died (exit status 4)",
    }
    assert outcomes(signal.raise_signal, [signal.SIGKILL], jobs=2) == {
        signal.SIGKILL: "its process died (SIGKILL)"
    }


def test_tasks_of_one_kin_go_to_one_process(tmp_path: Path) -> None:
    tasks = [f"echo $PPID > {tmp_path}/{kin}-{at}" for at in range(3) for kin in "ab"]
    for task, failure in run_all(os.system, tasks, 2, kin=lambda task: task[-3]):
        assert failure is None, task
    processes = {kin: {path.read_text() for path in tmp_path.glob(f"{kin}-*")} for kin in "ab"}
    assert len(list(tmp_path.iterdir())) == len(tasks)
    assert [len(ids) for ids in processes.values()] == [1, 1]
    assert processes["a"] != processes["b"]


def test_without_tasks_there_is_nothing_to_wait_for() -> None:
    assert outcomes(math.sqrt, [], jobs=4) == {}


def test_what_is_under_way_is_killed_when_nobody_waits_for_it() -> None:
    others = set(multiprocessing.active_children())
    done = run_all(time.sleep, [0, 3600], 2)
    assert next(done) == (0, None)
    assert len(set(multiprocessing.active_children()) - others) == 2
    done.close()
    assert set(multiprocessing.active_children()) <= others
