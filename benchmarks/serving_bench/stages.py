"""The stages of a request, each run many times: what serving_bench.instructions counts with callgrind.

Requests are handed to the service's protocol in this process as the event loop would, many in each turn.
"""

import asyncio
import gc
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvloop
from tailfuse_service.app import create_app
from tailfuse_service.bundle.answer import make_predictions
from tailfuse_service.http.connection import Protocol
from tailfuse_service.http.paths import match_path
from tailfuse_service.http.routes.predict import PendingPrediction, encode_answer
from tailfuse_service.models.repository import Repository
from tailfuse_service.process.server import make_uvicorn_config
from tailfuse_service.settings import Settings
from uvicorn.server import ServerState

from serving_bench.workloads import Request, make_request, make_workloads

CONNECTIONS, ROUNDS, WARM_UP = 64, 10, 5
NOTHING, WHOLE = "nothing", "whole request"
STAGES = (
    "read JSON", "decode to arrays", "stack to a batch", "graph", "predictions", "model metrics", "write JSON"
)  # fmt: skip
PATH = "/predict"


class Answered(asyncio.Transport):
    """A transport that counts answers instead of sending them."""

    def __init__(self, done: Callable[[], None]) -> None:
        super().__init__({"peername": ("127.0.0.1", 1), "sockname": ("127.0.0.1", 80)})
        self._done = done

    def write(self, data: Any) -> None:
        assert data.startswith(b"HTTP/1.1 200 "), data
        self._done()

    def is_closing(self) -> bool:
        return False

    def resume_reading(self) -> None: ...


class Connections:
    """Connections that each send one request at once, and wait until all are answered."""

    def __init__(self, app: Any, settings: Settings, contents: Sequence[bytes]) -> None:
        config = make_uvicorn_config(app, settings)
        config.load()
        state = ServerState()
        state.default_headers = [(b"date", b"Mon, 30 Nov 2026 00:00:00 GMT")]
        self._contents = contents
        self._missing = 0
        self._all: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._protocols = [Protocol(config, state, {}) for _ in contents]
        for each in self._protocols:
            each.connection_made(Answered(self._answered))

    def _answered(self) -> None:
        self._missing -= 1
        if not self._missing:
            self._all.set_result(None)

    async def send(self) -> None:
        """Send all requests, and return once they are answered."""
        self._missing = len(self._contents)
        self._all = asyncio.get_running_loop().create_future()
        for protocol, content in zip(self._protocols, self._contents, strict=True):
            protocol.data_received(content)
        await self._all


async def run_stages(bundle_path: Path, workload_name: str) -> None:
    """Run each stage, ROUNDS times for CONNECTIONS requests; callgrind writes a file for each."""
    settings = Settings(bundle=bundle_path)
    repository = Repository(settings)
    [bundle] = repository.open({})
    app = create_app(settings, bundle, repository=repository)
    engine = app.registry.engine
    # What depends on the time, under Valgrind: runs go to a thread if they are long, and drift is looked at
    # for a hundredth of the time.
    engine._batcher._short_s = engine.model_metrics.window._next = float("inf")
    workload = make_workloads(bundle)[workload_name]
    asked = [make_request(workload.shape, samples) for samples in workload.requests]
    asked = (asked * CONNECTIONS)[:CONNECTIONS]
    route, content_type = match_path(PATH), asked[0].content_type

    def read() -> list[dict[str, Any]]:
        return [app.predict.read(engine, route, content_type, each.body) for each in asked]

    inputs = read()
    samples = [bundle.sample(each) for each in inputs]
    batch = bundle.collate(samples)
    output = bundle.runtime.run(batch)
    predictions = make_predictions(output, batch.presence, bundle.manifest.class_names)
    pending = [PendingPrediction(make_done(each), engine, None, None) for each in predictions]
    calls: Sequence[Callable[[], Any]] = (
        read,
        lambda: [bundle.sample(each) for each in inputs],
        lambda: bundle.collate(samples),
        lambda: bundle.runtime.run(batch),
        lambda: make_predictions(output, batch.presence, bundle.manifest.class_names),
        lambda: engine.model_metrics.observe_batch(batch, output, 0.001),
        lambda: [encode_answer(each, "0123456789abcdef") for each in pending],
    )
    gc.collect()
    gc.freeze()
    for call in (lambda: None, *calls):
        call()
        with counted():
            for _ in range(ROUNDS):
                call()
    connections = Connections(app, settings, [make_content(each) for each in asked])
    for _ in range(WARM_UP):
        await connections.send()
    with counted():
        for _ in range(ROUNDS):
            await connections.send()
    os._exit(0)  # what is left over need not end well


def make_done(result: Any) -> asyncio.Future[Any]:
    """Return a future that has this result."""
    future = asyncio.get_running_loop().create_future()
    future.set_result(result)
    return future


def make_content(request: Request) -> bytes:
    """Return the bytes of a request."""
    head = (
        f"POST {PATH} HTTP/1.1\r\nHost: 127.0.0.1:8000\r\nContent-Type: {request.content_type}\r\n"
        f"Content-Length: {len(request.body)}\r\n\r\n"
    )
    return head.encode() + request.body


@contextmanager
def counted() -> Iterator[None]:
    """Count the instructions of the block, and have callgrind write them to its next file."""
    control("--zero")
    control("--instr=on")
    yield
    control("--instr=off")
    control("--dump")


def control(option: str) -> None:
    """Give an order to the callgrind that runs this process."""
    subprocess.run(["callgrind_control", option, str(os.getpid())], check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    uvloop.run(run_stages(Path(sys.argv[1]), sys.argv[2]))
