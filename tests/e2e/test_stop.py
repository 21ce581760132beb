"""A stop drains: whatever was accepted is answered, and the exit is clean."""

import json
import signal
import socket
import threading
from collections.abc import Callable
from http.client import HTTPResponse
from typing import Any

import httpx2
import pytest

from service.bundle import Bundle
from tests.e2e.asking import as_json, assert_answers
from tests.e2e.process import PATIENCE_S, Service, until

pytestmark = pytest.mark.e2e


class Pending:
    """A request that the service has begun to read, and that lacks the second half of its body."""

    def __init__(self, service: Service, body: bytes) -> None:
        self._rest = body[len(body) // 2 :]
        self._connection = socket.create_connection(service.address, timeout=PATIENCE_S)
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
    with httpx2.Client(timeout=PATIENCE_S, trust_env=False) as client:
        while True:
            try:
                statuses.append(client.post(f"{url}/predict", json=body).status_code)
            except httpx2.TransportError:
                return


def refuses(service: Service) -> bool:
    try:
        socket.create_connection(service.address, timeout=PATIENCE_S).close()
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
        thread.join(PATIENCE_S)
    assert set(statuses) == {200}
    assert service.process.wait(PATIENCE_S) == 0
    assert [line["message"] for line in service.log_lines()] == ["started", "stopped"]
