"""`tailfuse bench` that gets a signal once so many of its tasks are done. A program for test_bench_run.py."""

import os
import signal
import sys
from collections.abc import Iterator
from typing import Any
from unittest import mock

from tailfuse.cli import main
from tailfuse_bench import run
from tailfuse_bench.pool import run_all


def interrupt(signal_name: str, after: int) -> None:
    """Send this process the signal when that many tasks have ended, before the next is waited for."""

    def interrupted(*what: Any, **how: Any) -> Iterator[Any]:
        for done, outcome in enumerate(run_all(*what, **how), 1):
            yield outcome
            if done == after:
                os.kill(os.getpid(), signal.Signals[signal_name])

    mock.patch.object(run, "run_all", interrupted).start()


if __name__ == "__main__":
    interrupt(sys.argv[1], int(sys.argv[2]))
    main(sys.argv[3:], prog_name="tailfuse")
