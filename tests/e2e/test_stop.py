"""A stop drains: whatever was accepted is answered, and the exit is clean."""

import json
import os
import signal
import socket
import threading
from collections.abc import Callable
from http.client import HTTPResponse
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tailfuse_service.bundle import Bundle

from tests.support.asking import as_json, assert_answers
from tests.support.process import TIMEOUT_S, Service, start_service, until

pytestmark = pytest.mark.e2e


class Pending:
    """A request that the service has begun to read, and that lacks the second half of its body."""

    def __init__(self, service: Service, body: bytes) -> None:
        self._rest = body[len(body) // 2 :]
        self._connection = socket.create_connection(service.address, timeout=TIMEOUT_S)
        head = f"POST /predict HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: {len(body)}"
        self._connection.sendall(f"{head}\r\n\r\n".encode())
        # The service says so when it asks for the body: from here on the request is accepted.
        assert self._connection.recv(1024).startswith(b"HTTP/1.1 100 ")
        self._connection.sendall(body[: len(body) // 2])

    def finish(self) -> tuple[int, dict[str, Any]]:
        """Send the rest; status and answer."""
        with self._connection:
            self._connection.sendall(self._rest)
            response = HTTPResponse(self._connection)
            response.begin()
            return response.status, json.loads(response.read())


def ask_until_the_end(url: str, body: dict[str, Any], statuses: list[int]) -> None:
    """Keep asking until there is nobody to ask any more."""
    with httpx2.Client(timeout=TIMEOUT_S, trust_env=False) as client:
        while True:
            try:
                statuses.append(client.post(f"{url}/predict", json=body).status_code)
            except httpx2.TransportError:
                return


def refuses(service: Service) -> bool:
    try:
        socket.create_connection(service.address, timeout=TIMEOUT_S).close()
    except ConnectionError:
        return True
    return False


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_a_stop_under_load_answers_what_was_accepted(
    start: Callable[..., Service], digits: Bundle, samples: list[dict[str, Any]], how: signal.Signals
) -> None:
    service = start()
    statuses: list[int] = []
    load = [
        threading.Thread(target=ask_until_the_end, args=(service.url, as_json(sample), statuses))
        for sample in samples[:4]
    ]
    for thread in load:
        thread.start()
    pending = [Pending(service, json.dumps(as_json(sample)).encode()) for sample in samples]
    until(lambda: len(statuses) > 20, "the load is on")
    service.process.send_signal(how)
    until(lambda: refuses(service), "the port is closed")
    for sample, (status, answer) in zip(samples, [each.finish() for each in pending], strict=True):
        assert status == 200, answer
        assert_answers(answer, digits, sample)
    for thread in load:
        thread.join(TIMEOUT_S)
    assert set(statuses) == {200}
    assert service.process.wait(TIMEOUT_S) == 0
    assert [line["message"] for line in service.log_lines()] == ["started", "stopped"]


# Python runs this first in every process of the service: no run of the model ends while CLOSED is there.
GATED = """
import time
from pathlib import Path
from tailfuse_service.bundle.runtime_onnx import OnnxRuntime

free = OnnxRuntime.run

def gated(self, batch):
    if Path({closed!r}).exists():
        Path({begun!r}).touch()
    while Path({closed!r}).exists():
        time.sleep(0.01)
    return free(self, batch)

OnnxRuntime.run = gated
"""
TEXT = b'{"inputs": {"notes": "a spot of brown"}}'
REQUEST = b"POST /predict HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%b" % (len(TEXT), TEXT)


@pytest.fixture
def gate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """While the first file is there no run ends; the second is made when one has begun."""
    closed, begun = tmp_path / "closed", tmp_path / "begun"
    folder = tmp_path / "first"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(GATED.format(closed=str(closed), begun=str(begun)))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(folder), str(Path(__file__).parents[2])]))
    return closed, begun


@pytest.mark.parametrize("workers", ["1", "2"])
def test_what_runs_and_what_waits_is_answered_and_then_connections_are_closed(
    tiny_bundle: Path, tmp_path: Path, gate: tuple[Path, Path], workers: str
) -> None:
    closed, begun = gate
    flags = "--workers", workers, "--max-batch-size", "2"
    service = start_service(tiny_bundle, *flags, log=tmp_path / "service.log")
    connections = [socket.create_connection(service.address, timeout=TIMEOUT_S) for _ in range(12)]
    for connection in connections:  # each is known to be accepted, and is kept alive
        connection.sendall(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
        assert get_response(connection)[0] == 200
    closed.touch()
    for connection in connections:
        connection.sendall(REQUEST)
    until(begun.exists, "a run has begun")
    service.process.send_signal(signal.SIGTERM)
    closed.unlink()
    for connection in connections:
        status, answer = get_response(connection)
        assert status == 200, answer
        assert json.loads(answer)["modalities"]["notes"]["present"]
        assert connection.recv(1) == b""
        connection.close()
    assert service.process.wait(TIMEOUT_S) == 0
    assert b"Traceback" not in service.log.read_bytes()


def test_a_second_signal_ends_the_workers_at_once(
    tiny_bundle: Path, tmp_path: Path, gate: tuple[Path, Path]
) -> None:
    closed, begun = gate
    service = start_service(tiny_bundle, "--workers", "2", log=tmp_path / "service.log")
    closed.touch()  # and so it stays
    with socket.create_connection(service.address, timeout=TIMEOUT_S) as connection:
        connection.sendall(REQUEST)
        until(begun.exists, "a run has begun")
        service.process.send_signal(signal.SIGTERM)
        until(lambda: service.log_lines()[-1]["message"] == "stopping", "it is stopping")
        assert service.process.poll() is None
        assert service.stop() == 1


def get_response(connection: socket.socket) -> tuple[int, bytes]:
    response = HTTPResponse(connection)
    response.begin()
    return response.status, response.read()
