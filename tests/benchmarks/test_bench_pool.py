"""Tasks in processes of their own. What they do is in the standard library: a new process must find it."""

import math
import multiprocessing
import os
import signal
import time
from collections.abc import Generator
from typing import Any

from tailfuse_bench.pool import run_all

take_root: Any = math.sqrt  # as a task, whose result is not used


def outcomes(work: Any, tasks: list[Any], jobs: int) -> dict[Any, Any]:
    return {task: failure and failure.why for task, failure in run_all(work, tasks, jobs)}


def test_one_that_fails_stops_no_other() -> None:
    assert outcomes(math.sqrt, [4, -1, 9], jobs=1) == {4: None, -1: "ValueError: math domain error", 9: None}


def test_the_trace_says_where_it_failed() -> None:
    [(_, failure)] = run_all(take_root, [-1], 1)
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


def test_a_process_stays_with_tasks_of_one_kin() -> None:
    done = [task for task, _ in run_all(take_root, [1.5, 2.5, 1.25, 2.25, 1.0], 1, affinity=int)]
    assert done == [1.5, 1.25, 1.0, 2.5, 2.25]


def test_nobody_is_idle_while_tasks_of_another_s_kin_wait() -> None:
    assert len(outcomes(math.sqrt, [*range(8)], jobs=2)) == 8
    assert [failure for _, failure in run_all(take_root, [*range(8)], 2, affinity=lambda task: 0)] == [
        None
    ] * 8


def test_without_tasks_there_is_nothing_to_wait_for() -> None:
    assert outcomes(math.sqrt, [], jobs=4) == {}


def test_what_is_under_way_is_killed_when_nobody_waits_for_it() -> None:
    others = set(multiprocessing.active_children())
    done = run_all(time.sleep, [0, 3600], 2)
    assert next(done) == (0, None)
    assert len(set(multiprocessing.active_children()) - others) == 2
    assert isinstance(done, Generator)
    done.close()
    assert set(multiprocessing.active_children()) <= others
