"""One serving process: uvicorn and the application, from the start to the last answer."""

import asyncio
import contextlib
import ctypes
import gc
import logging
import math
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING, Any

import uvicorn

from tailfuse_service.app import create_app
from tailfuse_service.http.connection import Protocol
from tailfuse_service.http.paths import METRICS
from tailfuse_service.http.router import Router
from tailfuse_service.logs import LOG
from tailfuse_service.metrics import Metrics
from tailfuse_service.modalities.image.features import suppress_pillow_warnings
from tailfuse_service.models.desired_state import DesiredStateStore
from tailfuse_service.models.repository import Repository
from tailfuse_service.process.hangup import HangUps
from tailfuse_service.settings import Settings

if TYPE_CHECKING:
    from tailfuse_service.oip.grpc_server import GrpcServer

# A stop waits this long before it closes idle connections: a request may be on its way.
LINGER_S = 0.1
# Uvloop accepts one connection of a listening socket in each turn of its loop. Turns are long while many
# callers are answered, so that a few clients who open connections would keep all new ones waiting.
ACCEPTS_PER_TURN = 16
M_MMAP_THRESHOLD, M_ARENA_MAX = -3, -8  # of malloc.h
LARGE_BYTES = 2 * 1024 * 1024  # ordinary batches are smaller


def run(
    settings: Settings,
    repository: Repository,
    desired_state: DesiredStateStore,
    listener: socket.socket,
    *,
    started: Callable[[], None],
    hang_ups: HangUps,
    metrics: Metrics | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT, then answer the accepted requests and return. SIGHUP reloads.

    The bundles have been opened. Calls `started` as soon as anybody can connect.
    """
    return_freed_memory()
    allow_many_files()
    suppress_pillow_warnings()
    stopping = repository.trials.stopping
    listeners = [listener]
    if settings.metrics_port is not None:
        own = listen(settings.metrics_address, settings.metrics_port, shared=settings.workers > 1)
        listeners.append(own)
        settings = settings.model_copy(update={"metrics_port": own.getsockname()[1]})
        LOG.info("metrics started", extra={"url": f"{make_url(own)}{METRICS}"})
    app = create_app(
        settings,
        *repository.bundles,
        metrics=metrics,
        stopping=stopping,
        repository=repository,
        desired_state=desired_state,
    )
    # What exists by now stays. Without it a collection while a request is answered is short.
    gc.collect()
    gc.freeze()
    # At its end uvicorn raises the signal again that stopped it; everything is answered by then.
    signal.signal(signal.SIGTERM, exit_cleanly)
    signal.signal(signal.SIGINT, exit_cleanly)

    def begin() -> None:
        if settings.workers > 1:
            app.balance.watch(asyncio.get_running_loop())
        started()

    Server(
        make_uvicorn_config(app, settings),
        started=begin,
        stopping=stopping,
        hang_ups=hang_ups,
        reload=app.reconciler,
        grpc=None if settings.grpc_port is None else partial(make_grpc_server, app, settings, stopping),
    ).run(sockets=listeners)


def make_grpc_server(app: Router, settings: Settings, stopping: threading.Event) -> "GrpcServer":
    """Create the gRPC server, on the event loop. grpcio is imported only here."""
    from tailfuse_service.oip.grpc_server import GrpcServer

    return GrpcServer(app, settings, stopping)


def make_uvicorn_config(app: Router, settings: Settings) -> uvicorn.Config:
    """Return uvicorn's configuration, with this service's own protocol."""
    return uvicorn.Config(
        app,
        http=Protocol,
        ws="none",
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_keep_alive=75,  # longer than a proxy's, or it would use closed connections
        timeout_graceful_shutdown=compute_drain_s(settings),
    )


def compute_drain_s(settings: Settings) -> int:
    """Return how long a stop waits for answers."""
    return math.ceil(settings.stop_timeout_s)


def return_freed_memory() -> None:
    """Make glibc return large blocks to the system as soon as they are freed.

    Otherwise malloc learns from the first large image to keep that much memory for each thread, and a
    service that has seen many goes on growing.
    """
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        if hasattr(libc, "mallopt"):
            libc.mallopt(M_MMAP_THRESHOLD, LARGE_BYTES)
            libc.mallopt(M_ARENA_MAX, 2)


def exit_cleanly(*_: Any) -> None:
    """Exit with code 0 on a signal after uvicorn has stopped."""
    sys.exit(0)


def allow_many_files() -> None:
    """Raise the limit on open files as far as this process may; every connection is one."""
    with contextlib.suppress(ImportError, OSError, ValueError):  # Windows has no such limit
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def end_process() -> None:
    """End the process at once if there are threads for whose work Python would wait.

    All requests are answered or abandoned by then; a library may go on asking a store for minutes.
    """
    main = threading.main_thread()
    if any(not thread.daemon for thread in threading.enumerate() if thread is not main):
        logging.shutdown()
        sys.stdout.flush()
        os._exit(0)


class Server(uvicorn.Server):
    """Uvicorn's server with a stop that loses no request.

    It is not ready at once; takes in every connection that the kernel has made for it before it gives up
    the port; tells who is answered from then on to connect anew; and waits a moment before it closes what
    is idle.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        *,
        started: Callable[[], None],
        stopping: threading.Event,
        hang_ups: HangUps,
        reload: Callable[[], None],
        grpc: "Callable[[], GrpcServer] | None",
    ) -> None:
        super().__init__(config)
        self._make_grpc = grpc
        self._grpc: GrpcServer | None = None
        self._grace_s = config.timeout_graceful_shutdown or 0
        self._tell_started = started
        self._stopping = stopping
        self._hang_ups = hang_ups
        self._reload = reload

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start serving. Raises OSError if the gRPC port cannot be opened."""
        if self._make_grpc is not None:
            self._grpc = self._make_grpc()
            await self._grpc.start()
        await super().startup([handle for each in sockets or [] for handle in make_handles(each)])
        self._hang_ups.handle(self._reload, partial(self.handle_exit, signal.SIGTERM, None))
        self._tell_started()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._stopping.set()
        super().handle_exit(sig, frame)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        state, loop = self.server_state, asyncio.get_running_loop()
        state.default_headers = [*state.default_headers, (b"connection", b"close")]
        last = [connection for listener in sockets or [] for connection in accept_waiting(listener)]
        for server in self.servers:
            server.close()
        for listener in sockets or []:
            listener.close()
        for connection in last:
            with contextlib.suppress(OSError):  # its client is gone
                await loop.connect_accepted_socket(self._protocol, connection)
        await asyncio.sleep(LINGER_S)
        if self._grpc is None:
            await super().shutdown(sockets)
        else:
            await asyncio.gather(super().shutdown(sockets), self._grpc.stop(self._grace_s))

    def _protocol(self) -> asyncio.Protocol:
        """Return the protocol of a new connection, as uvicorn creates it."""
        make: Any = self.config.http_protocol_class
        protocol: asyncio.Protocol = make(
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        return protocol


def make_handles(listener: socket.socket) -> list[socket.socket]:
    """Return handles of one listening socket, for as many connections as a turn of the loop may accept."""
    return [listener.dup() for _ in range(ACCEPTS_PER_TURN)]


def accept_waiting(listener: socket.socket) -> Iterator[socket.socket]:
    """Yield the connections that are not accepted yet."""
    listener.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            yield listener.accept()[0]


def listen(host: str, port: int, *, shared: bool = False) -> socket.socket:
    """Return a listening socket; workers may share its port. Raises OSError, which names the address."""
    try:
        return socket.create_server((host, port), family=find_family(host), backlog=2048, reuse_port=shared)
    except OSError as error:
        reason = (error.strerror or str(error)).partition(" (")[0]
        raise OSError(f"cannot listen on {host}:{port}: {reason}") from None


def find_family(host: str) -> socket.AddressFamily:
    """Return whether an address is one of IPv6 or IPv4."""
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def make_url(listener: socket.socket) -> str:
    """Return the address that a client uses."""
    address, port = listener.getsockname()[:2]
    return f"http://[{address}]:{port}" if ":" in address else f"http://{address}:{port}"
