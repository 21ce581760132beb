"""No route is held by a client that sends or reads slowly: the connection ends, its place is given back."""

import asyncio
import contextlib
from typing import Any

import pytest
from tailfuse_service.http.paths import ROUTES, Access

from tests.support.connection import KEY, Connection, request
from tests.support.process import TIMEOUT_S

TIMES = {"receive_timeout_s": 0.05, "send_timeout_s": 0.05, "request_timeout_s": 5}
METHODS = (b"POST", b"GET", b"PUT")
NAMES = {"{name}": "skin-lesions", "{version}": "3"}
HALVES = {
    "half of a head": lambda head: head[:-3],
    "half of a long body": lambda head: head + b"x" * 100_000,
    "half of a chunk": lambda head: head + b"5\r\nhel",
    "no body": lambda head: head,
}


def make_path(template: str) -> bytes:
    for name, value in NAMES.items():
        template = template.replace(name, value)
    return template.encode()


PATHS = {template: make_path(template) for template in ROUTES}


def make_head(method: bytes, path: bytes, half: str) -> bytes:
    length = b"transfer-encoding: chunked" if "chunk" in half else b"content-length: 200000"
    lines = (b"%s %s HTTP/1.1" % (method, path), b"host: x", b"x-api-key: " + KEY.encode(), length)
    return b"\r\n".join(lines) + b"\r\n\r\n"


async def wait_for_end(connection: Connection, slow: dict[str, Connection], *, reads: bool = True) -> None:
    """Wait until the slow connections have ended, and nothing is in flight.

    If a client does not read, only an abort ends its connection: a close waits for it.
    """
    held = dict(slow)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(TIMEOUT_S):
            while held or connection.app.in_flight:
                await asyncio.sleep(0.001)
                for name, each in list(held.items()):
                    if each.wire.closed if reads else each.wire.aborted:
                        held.pop(name).lose()  # as the loop does after a close
    assert list(held) == []
    assert connection.app.in_flight == 0
    assert connection.app.memory.held == 0
    assert not connection.app._admission._requests


def test_the_table_has_routes_of_each_access() -> None:
    assert {route.access for route in ROUTES.values()} == set(Access)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("half", HALVES)
def test_a_slow_sender_holds_no_route(drive: Any, keys: Any, half: str, method: bytes) -> None:
    async def play(connection: Connection) -> None:
        slow = {}
        for template, path in PATHS.items():
            slow[template] = Connection(connection.app)
            slow[template].send(HALVES[half](make_head(method, path, half)))
        await wait_for_end(connection, slow)

    drive(play, api_keys=keys, admin_keys=keys, **TIMES)


@pytest.mark.parametrize("method", METHODS)
def test_a_slow_reader_holds_no_route(drive: Any, keys: Any, method: bytes) -> None:
    key = b"x-api-key: " + KEY.encode()

    async def play(connection: Connection) -> None:
        slow = {}
        for template, path in PATHS.items():
            for line in (b"accept: */*", b"accept-encoding: gzip", b"connection: close"):
                each = slow[f"{template} {line.decode()}"] = Connection(connection.app)
                each.send(request(b"{}", key, line, target=path, method=method))
                each.protocol.pause_writing()  # the buffer is full
        await wait_for_end(connection, slow, reads=False)

    drive(play, api_keys=keys, admin_keys=keys, **TIMES)
