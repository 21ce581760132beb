"""The service and its peers: how each is started, what it is asked, and that it answers rightly."""

import http.client
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from serving_bench.load import PATIENCE_S, ServerFailed
from serving_bench.process import started_at, tree_of
from serving_bench.workloads import Request, Shape, Workload, request_of

ROOT = Path(__file__).parents[1]  # where this package lies
START_S = 60  # longest wait for the first answer
STOP_S = 20
SHOWN = 600  # characters of a log that say why a server failed


@dataclass(frozen=True, slots=True)
class Server:
    """`arguments` are Python's, with {bundle} and {port}; what has no path it `cannot`."""

    distribution: str  # what pip calls it
    arguments: tuple[str, ...]
    paths: Mapping[Shape, str]
    listed: bool = False  # see request_of
    cannot: str = ""  # and why

    def requests(self, workload: Workload) -> list[Request]:
        return [request_of(workload.shape, each, listed=self.listed) for each in workload.requests]


EVERYWHERE: Mapping[Shape, str] = {"one": "/predict", "form": "/predict", "batch": "/predict"}
PEERS = "serving_bench.peers"
OURS = "tailfuse"
SERVERS = {
    # 256 connections with 32 samples each wait in the queue.
    OURS: Server(
        "tailfuse",
        ("-m", "tailfuse_service", "{bundle}", "--port", "{port}", "--max-queue", "16384"),
        {**EVERYWHERE, "batch": "/predict/batch"},
    ),
    "mosec": Server(
        "mosec",
        ("-m", f"{PEERS}.mosec_app", "--address", "127.0.0.1", "--port", "{port}", "--timeout", "60000"),
        EVERYWHERE,
    ),
    "litserve": Server("litserve", ("-m", f"{PEERS}.litserve_app", "{port}"), EVERYWHERE),
    "bentoml": Server(
        "bentoml",
        ("-m", "bentoml", "serve", f"{PEERS}.bentoml_app:Fused", "--host", "127.0.0.1", "--port", "{port}"),
        {"one": "/predict", "batch": "/predict"},
        listed=True,
        cannot="its batching takes JSON only",
    ),
    "fastapi": Server(
        "fastapi",
        ("-m", "uvicorn", "--factory", f"{PEERS}.fastapi_app:app", "--no-access-log", "--port", "{port}"),
        {"one": "/predict", "form": "/predict/form", "batch": "/predict/batch"},
    ),
}


@dataclass(frozen=True, slots=True)
class Running:
    """A server that has answered once, `ready_s` after it was started."""

    pid: int
    port: int
    ready_s: float


@contextmanager
def running(
    server: Server, python: Path, bundle: Path, first: Workload, *, core: int, log: Path
) -> Iterator[Running]:
    """Start the server on `core`, and stop it at the end. Raises ServerFailed."""
    port = free_port()
    arguments = [part.format(bundle=bundle, port=port) for part in server.arguments]
    environment = {**os.environ, "BENCH_BUNDLE": str(bundle), "OMP_NUM_THREADS": "1"}
    environment |= {"BENTOML_DO_NOT_TRACK": "True", "DO_NOT_TRACK": "1"}
    # The interpreter of the peers has none of the project's development installs.
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    begun = time.perf_counter()
    with log.open("wb") as file:
        process = subprocess.Popen(
            [python, *arguments], stdin=subprocess.DEVNULL, stdout=file, stderr=file, env=environment,
            preexec_fn=lambda: os.sched_setaffinity(0, {core}),
        )  # fmt: skip
    try:
        wait_for_answer(process, port, server.paths["one"], server.requests(first)[0], log)
        yield Running(process.pid, port, time.perf_counter() - begun)
    finally:
        stop(process)


def stop(process: subprocess.Popen[bytes]) -> None:
    """Tell it to stop, and end what is left of it and its children after STOP_S."""
    tree = {each: started_at(each) for each in tree_of(process.pid)}
    process.send_signal(signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(STOP_S)
    for each, when in tree.items():
        if started_at(each) == when:  # or the number is another's by now
            with suppress(ProcessLookupError):
                os.kill(each, signal.SIGKILL)
    process.wait()


def free_port() -> int:
    """A port that nobody listens on at this moment."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def wait_for_answer(
    process: subprocess.Popen[bytes], port: int, path: str, request: Request, log: Path
) -> None:
    """Ask until it answers with 2xx. Raises ServerFailed."""
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(OSError, http.client.HTTPException):
            if post(port, path, request)[0] // 100 == 2:
                return
        time.sleep(0.005)
    reason = "ended" if process.poll() is not None else f"gave no answer in {START_S} s"
    raise ServerFailed(f"it {reason}: {log.read_text(errors='replace').strip()[-SHOWN:]}")


def post(port: int, path: str, request: Request) -> tuple[int, bytes]:
    """Status and body of the answer to one request on a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    try:
        connection.request("POST", path, request.body, {"Content-Type": request.content_type})
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def check_answers(
    server: Server, port: int, workload: Workload, expected: Sequence[Mapping[str, float]]
) -> None:
    """Ask every request once: its probabilities must be the runtime's own. Raises ServerFailed."""
    wanted = iter(expected)
    for request in server.requests(workload):
        status, body = post(port, server.paths[workload.shape], request)
        if status // 100 != 2:
            raise ServerFailed(f"{workload.title}: {status} {body[:SHOWN]!r}")
        for answer in answers_in(json.loads(body)):
            probabilities = next(wanted)
            found = [answer["probabilities"].get(name, np.nan) for name in probabilities]
            if not np.allclose(found, list(probabilities.values()), atol=1e-4):
                raise ServerFailed(f"{workload.title}: it answers {found}, not {probabilities}")


def answers_in(document: Any) -> list[Any]:
    """The answers of a body, of whichever shape."""
    return document if isinstance(document, list) else document.get("results", [document])
