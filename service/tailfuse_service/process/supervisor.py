"""Worker processes that share one port, and the supervisor that keeps them alive.

Each worker has a listening socket of its own at the port (SO_REUSEPORT), so that the kernel deals new
connections out evenly: of 64 that come at once to a socket that two workers share, one worker may take all
(measured: 65 to 0; with a socket each 33 to 32). The supervisor holds these sockets open. When a worker is
killed, only its own connections break; those that wait in its queue wait for its successor. A worker without
a heartbeat, which is stopped or hangs, is killed and replaced.
"""

import asyncio
import contextlib
import pickle
import signal
import socket
import sys
import time
from asyncio.subprocess import PIPE, Process

from tailfuse_service.bundle import BundleError
from tailfuse_service.logs import LOG
from tailfuse_service.metrics import ProcessFigures, SharedCounters, make_file, reset_gauges
from tailfuse_service.process.hangup import HangUps, block_hang_ups
from tailfuse_service.process.server import compute_drain_s, find_family, listen, make_url
from tailfuse_service.process.worker import BEAT_S, READY, WorkerConfig
from tailfuse_service.settings import Settings

READ_BYTES = 4096
MIN_STEADY_S = 10.0  # a worker that lived this long did not die from its start
FIRST_PAUSE_S, MAX_PAUSE_S = 0.5, 30.0
GRACE_S = 5  # in addition to a worker's own time for a stop


def supervise(settings: Settings, hang_ups: HangUps) -> int | str:
    """Run workers until SIGTERM or SIGINT. Return the exit code, or why they cannot start."""
    try:
        with listen(settings.host, settings.port) as probe:  # fails if another service has the port
            port = probe.getsockname()[1]
        if settings.grpc_port is not None:
            with listen(settings.host, settings.grpc_port) as probe:
                settings = settings.model_copy(update={"grpc_port": probe.getsockname()[1]})
        if settings.metrics_port is not None:
            with listen(settings.metrics_address, settings.metrics_port) as probe:
                settings = settings.model_copy(update={"metrics_port": probe.getsockname()[1]})
        return asyncio.run(Supervisor(settings, port, hang_ups).run())
    except (BundleError, OSError) as error:
        return f"tailfuse: {error}"


def bind_shared(host: str, port: int) -> socket.socket:
    """Return a socket that shares the port. It listens only when its worker is ready."""
    listener = socket.socket(find_family(host))
    if listener.family == socket.AF_INET6:
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.bind((host, port))
    return listener


class Supervisor:
    """Starts `settings.workers` workers, and restarts those that die."""

    def __init__(self, settings: Settings, port: int, hang_ups: HangUps) -> None:
        self._settings = settings
        self._hang_ups = hang_ups
        self._port = port
        self._numbers = range(1, settings.workers + 1)
        self._listeners = {number: bind_shared(settings.host, port) for number in self._numbers}
        self._files = [make_file() for _ in (0, *self._numbers)]
        self._desired_state = make_file(0)
        self._trials = make_file(0)
        self._counters = SharedCounters(self._files[0])
        self._figures = ProcessFigures(self._counters)
        self._running: set[Process] = set()
        self._ready: set[Process] = set()
        self._reloads = 0
        self._restarts = 0
        self._stopping = asyncio.Event()
        self._forced = False

    async def run(self) -> int:
        """Run until a signal. Return 1 if workers had to be killed, else 0. Raises BundleError."""
        loop = asyncio.get_running_loop()
        for each in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(each, self._stop)
        self._hang_ups.handle(self._reload, self._stop)
        first, problem = await self._start(1)  # one first, to report a problem with the bundle only once
        if not self._stopping.is_set():
            if problem:
                raise BundleError(problem)
            url = make_url(self._listeners[1])
            LOG.info("started", extra={"url": url, "workers": self._settings.workers})
        async with asyncio.TaskGroup() as group:
            for number in self._numbers:
                group.create_task(self._keep(number, first if number == 1 else None))
        LOG.info("stopped")
        return 1 if self._forced else 0

    async def _keep(self, number: int, worker: Process | None) -> None:
        """Keep a worker with this number running until the stop."""
        failures = 0
        while worker is not None or not self._stopping.is_set():
            begun, problem = time.monotonic(), ""
            if worker is None:
                worker, problem = await self._start(number)
            code = await self._watch(number, worker)
            self._ended(number, worker)
            if self._stopping.is_set():
                return
            failures = failures + 1 if time.monotonic() - begun < MIN_STEADY_S else 0
            died = {"worker": number, "pid": worker.pid, "exit_code": code}
            LOG.error("worker died", extra=died | ({"reason": problem} if problem else {}))
            worker = None
            self._restarts += 1
            if failures > 1:
                await self._pause(number, min(FIRST_PAUSE_S * 2 ** (failures - 2), MAX_PAUSE_S))

    async def _watch(self, number: int, worker: Process) -> int:
        """Return a worker's exit code when it has ended. Kill it if its event loop stands still."""
        assert worker.stdout is not None
        limit, beat = self._settings.worker_timeout_s, READY
        while beat:  # the end of the pipe is that of the process
            try:
                async with asyncio.timeout(limit):
                    beat = await worker.stdout.read(READ_BYTES)
                limit = self._settings.worker_timeout_s
            except TimeoutError:
                if limit == BEAT_S:
                    LOG.error("worker hangs", extra={"worker": number, "pid": worker.pid})
                    worker.kill()
                    break
                limit = BEAT_S  # once more: perhaps this process was stopped itself
        return await worker.wait()

    async def _pause(self, number: int, seconds: float) -> None:
        """Wait, while the kernel sends connections to the other workers."""
        self._listeners[number].close()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)
        if not self._stopping.is_set():
            self._listeners[number] = bind_shared(self._settings.host, self._port)

    async def _start(self, number: int) -> tuple[Process, str]:
        """Start a worker. Return it when it is ready or has failed, with the reason of a failure."""
        reloads = self._reloads
        listener = self._listeners[number].fileno()
        config = WorkerConfig(
            self._settings, number, listener, self._files, self._desired_state, self._trials
        )
        with block_hang_ups():
            worker = await asyncio.create_subprocess_exec(
                # -P: a file in the working folder must not replace a library.
                sys.executable, "-P", "-m", "tailfuse_service.process.worker", stdin=PIPE, stdout=PIPE,
                pass_fds=[listener, *self._files, self._desired_state, self._trials],
                process_group=0,  # Ctrl-C is for the supervisor
            )  # fmt: skip
        assert worker.stdin is not None
        assert worker.stdout is not None
        self._running.add(worker)
        if self._stopping.is_set():
            worker.terminate()
        worker.stdin.write(pickle.dumps(config))
        said = await worker.stdout.readline()
        if said == READY:
            self._ready.add(worker)
            self._publish()
            LOG.info("worker started", extra={"worker": number, "pid": worker.pid})
            if self._reloads != reloads:  # it may have opened the old bundle
                signal_reload(worker)
            return worker, ""
        return worker, said.decode().strip() or "the worker ended before it was ready"

    def _ended(self, number: int, worker: Process) -> None:
        self._running.discard(worker)
        self._ready.discard(worker)
        reset_gauges(SharedCounters(self._files[number]))
        self._publish()

    def _publish(self) -> None:
        """Write the supervisor's own metrics."""
        self._counters.block("workers")[0] = len(self._ready)
        self._counters.block("worker_restarts")[0] = self._restarts
        self._figures.publish()

    def _reload(self) -> None:
        """Make all workers reload."""
        self._reloads += 1
        for worker in self._ready:
            signal_reload(worker)

    def _stop(self) -> None:
        """Stop the workers; a second call kills them."""
        if self._stopping.is_set():
            self._kill()
            return
        LOG.info("stopping")
        self._stopping.set()
        for listener in self._listeners.values():
            listener.close()
        for worker in self._running:
            with contextlib.suppress(ProcessLookupError):
                worker.terminate()
        asyncio.get_running_loop().call_later(compute_drain_s(self._settings) + GRACE_S, self._kill)

    def _kill(self) -> None:
        self._forced = True
        for worker in self._running:
            with contextlib.suppress(ProcessLookupError):
                worker.kill()


def signal_reload(worker: Process) -> None:
    """Send SIGHUP to a worker, unless it has ended."""
    with contextlib.suppress(ProcessLookupError):
        worker.send_signal(signal.SIGHUP)
