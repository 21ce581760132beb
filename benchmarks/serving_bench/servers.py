"""The service and its peers: how to start, query and check each."""

import http.client
import json
import os
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from serving_bench.load import TIMEOUT_S, ServerFailed
from serving_bench.process import list_process_tree, read_start_ticks
from serving_bench.workloads import Request, Shape, Workload, make_request

ROOT = Path(__file__).parents[1]  # where this package lies
START_S = 60  # for the first answer
STOP_S = 20
SHOWN = 600  # characters of a failed server's log


@dataclass(frozen=True, slots=True)
class Server:
    """A server; `arguments` are Python's, with {bundle} and {port}. Shapes without a path are unsupported."""

    distribution: str  # name on the package index
    arguments: tuple[str, ...]
    paths: Mapping[Shape, str]
    listed: bool = False  # see make_request
    unsupported: str = ""  # why shapes are
    peer: bool = True  # whether it runs in the peers' environment
    predicts: bool = True  # else its answers mean nothing

    def requests(self, workload: Workload) -> list[Request]:
        return [make_request(workload.shape, each, listed=self.listed) for each in workload.requests]


EVERYWHERE: Mapping[Shape, str] = {"one": "/predict", "form": "/predict", "batch": "/predict"}
PEERS = "serving_bench.peers"
OURS, BEFORE = "tailfuse", "before"
AGAIN, FLOOR = (
    "tailfuse again",
    "floor",
)  # the same server, whose difference is noise; sockets without a server
# 256 connections with 32 samples each fit in this queue.
OPTIONS = ("{bundle}", "--port", "{port}", "--max-queue", "16384")
PATHS: Mapping[Shape, str] = {**EVERYWHERE, "batch": "/predict/batch", "value": "/predict/image"}
SERVERS = {
    OURS: Server("tailfuse", ("-m", "tailfuse_service", *OPTIONS), PATHS, peer=False),
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
        unsupported="its batching takes JSON only",
    ),
    "fastapi": Server(
        "fastapi",
        ("-m", "uvicorn", "--factory", f"{PEERS}.fastapi_app:app", "--no-access-log", "--port", "{port}"),
        {"one": "/predict", "form": "/predict/form", "batch": "/predict/batch"},
    ),
    FLOOR: Server("tailfuse", ("-m", f"{PEERS}.floor", "{port}"), PATHS, peer=False, predicts=False),
}
SERVERS[AGAIN] = SERVERS[OURS]  # the last of a round, as far from the first as it can be


@dataclass(frozen=True, slots=True)
class Running:
    """A server that has answered once, `ready_s` after its start."""

    pid: int
    port: int
    ready_s: float


@contextmanager
def run_server(
    server: Server, python: Path, bundle: Path, first: Workload, *, cores: Collection[int], log: Path
) -> Iterator[Running]:
    """Run the server on `cores`; stop it at the end. Raises ServerFailed."""
    port = find_free_port()
    arguments = [part.format(bundle=bundle, port=port) for part in server.arguments]
    environment = {**os.environ, "BENCH_BUNDLE": str(bundle), "OMP_NUM_THREADS": "1"}
    environment |= {"BENTOML_DO_NOT_TRACK": "True", "DO_NOT_TRACK": "1"}
    # The interpreter of the peers has none of the project's development installs.
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    begun = time.perf_counter()
    with log.open("wb") as file:
        process = subprocess.Popen(
            [python, *arguments], stdin=subprocess.DEVNULL, stdout=file, stderr=file, env=environment,
            preexec_fn=lambda: os.sched_setaffinity(0, cores),
        )  # fmt: skip
    try:
        wait_for_answer(process, port, server.paths["one"], server.requests(first)[0], log)
        yield Running(process.pid, port, time.perf_counter() - begun)
    finally:
        stop(process)


def stop(process: subprocess.Popen[bytes]) -> None:
    """Ask the server to stop; kill remaining processes after STOP_S."""
    tree = {each: read_start_ticks(each) for each in list_process_tree(process.pid)}
    process.send_signal(signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(STOP_S)
    for each, when in tree.items():
        if read_start_ticks(each) == when:  # otherwise another process has this id
            with suppress(ProcessLookupError):
                os.kill(each, signal.SIGKILL)
    process.wait()


def find_free_port() -> int:
    """Find a free port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def wait_for_answer(
    process: subprocess.Popen[bytes], port: int, path: str, request: Request, log: Path
) -> None:
    """Send a request until the answer is 2xx. Raises ServerFailed."""
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(OSError, http.client.HTTPException):
            if post(port, path, request)[0] // 100 == 2:
                return
        time.sleep(0.005)
    reason = "ended" if process.poll() is not None else f"gave no answer in {START_S} s"
    raise ServerFailed(f"it {reason}: {log.read_text(errors='replace').strip()[-SHOWN:]}")


def wait_until_ready(process: subprocess.Popen[bytes], port: int) -> None:
    """Wait until the service says that it is ready. Raises ServerFailed."""
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz") as answer:
            if answer.status == 200:
                return
        time.sleep(0.005)
    raise ServerFailed(f"it was not ready in {START_S} s" if process.poll() is None else "it ended")


def post(port: int, path: str, request: Request) -> tuple[int, bytes]:
    """Send one request on a new connection; return status and body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
    try:
        connection.request("POST", path, request.body, {"Content-Type": request.content_type})
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def check_answers(
    server: Server, port: int, workload: Workload, expected: Sequence[Mapping[str, float]]
) -> None:
    """Send every request once; check that its probabilities are those of the runtime. Raises ServerFailed."""
    if not server.predicts:
        return
    wanted = iter(expected)
    for request in server.requests(workload):
        try:
            status, body = post(port, server.paths[workload.shape], request)
        except (OSError, http.client.HTTPException) as error:
            raise ServerFailed(f"{workload.title}: no answer ({error})") from None
        if status // 100 != 2:
            raise ServerFailed(f"{workload.title}: {status} {body[:SHOWN]!r}")
        for answer in list_answers(json.loads(body)):
            probabilities = next(wanted)
            found = [answer["probabilities"].get(name, np.nan) for name in probabilities]
            if not np.allclose(found, list(probabilities.values()), atol=1e-4):
                raise ServerFailed(f"{workload.title}: got {found}, expected {probabilities}")


def list_answers(document: Any) -> list[Any]:
    """Return the answers in a body of any shape."""
    return document if isinstance(document, list) else document.get("results", [document])
