"""One worker process: what the supervisor hands to it, and what it says to the supervisor.

A worker's standard input is a pipe from the supervisor: its orders, then nothing until it ends, which means
that the supervisor is gone. On its standard output it says once that it is ready, or why it cannot be; then
its event loop writes a heartbeat.
"""

import asyncio
import contextlib
import os
import pickle
import select
import signal
import socket
import sys
import threading
from dataclasses import dataclass

from tailfuse_service import logs
from tailfuse_service.bundle import BundleError
from tailfuse_service.metrics import PUBLISH_S, Metrics, SharedCounters
from tailfuse_service.models.desired_state import DesiredStateStore
from tailfuse_service.models.repository import Repository, make_trials
from tailfuse_service.process.hangup import HangUps
from tailfuse_service.process.server import end_process, run
from tailfuse_service.settings import Settings

READY = b"ready\n"
BEAT, BEAT_S = b".", 1.0  # the event loop of a worker writes it so often


@dataclass(frozen=True, slots=True)
class WorkerConfig:
    """The configuration of a worker. `files` are inherited descriptors; the first is the supervisor's."""

    settings: Settings
    number: int  # from 1
    listener: int
    files: list[int]
    desired_state: int  # descriptor of the shared document
    trials: int  # descriptor of their shared results


def run_worker(config: WorkerConfig) -> None:
    """Run one worker process."""
    hang_ups = HangUps()
    settings, files = config.settings, list(config.files)
    logs.configure(settings.log_level, worker=config.number)
    try:
        repository = Repository(settings, make_trials(settings, config.trials))
        desired_state = DesiredStateStore(settings.roles, config.desired_state)
        repository.open(desired_state.read().unloaded)
    except (BundleError, ValueError) as error:
        os.write(1, f"{error}\n".encode())
        sys.exit(1)
    own = SharedCounters(files.pop(config.number))
    others = [SharedCounters(file) for file in files]
    metrics = Metrics(counters=own, others=others, drift_window_s=settings.drift_window_s)
    threading.Thread(target=publish_forever, args=[metrics], daemon=True).start()
    listener = socket.socket(fileno=config.listener)
    try:
        run(
            settings, repository, desired_state, listener,
            started=report_ready, hang_ups=hang_ups, metrics=metrics,
        )  # fmt: skip
    except OSError as error:  # the gRPC port
        os.write(1, f"{error}\n".encode())
        sys.exit(1)
    except SystemExit:  # a signal has stopped it
        end_process()
        raise


def report_ready() -> None:
    """Tell the supervisor that the worker is ready, and from now on that its event loop goes on."""
    os.write(1, READY)
    pipe = os.dup(1)
    os.set_blocking(pipe, False)  # a supervisor that does not read must not hold up the worker
    os.dup2(2, 1)  # what a library prints is none of the supervisor's business
    loop = asyncio.get_running_loop()

    def beat() -> None:
        with contextlib.suppress(BlockingIOError, BrokenPipeError):
            os.write(pipe, BEAT)
        loop.call_later(BEAT_S, beat)

    beat()


def publish_forever(metrics: Metrics) -> None:
    """Publish metrics regularly; stop the worker when the supervisor is gone."""
    while not select.select([0], [], [], PUBLISH_S)[0]:
        metrics.publish()
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    from tailfuse_service.process.worker import (
        run_worker as start,  # pickle needs the module's real name, not __main__
    )

    start(pickle.load(sys.stdin.buffer))
