"""A client that does not read, a request that does not come, and a stop: each has its time."""

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from tailfuse_service.errors import TooManyRequests
from tailfuse_service.http import connection as connection_module
from tailfuse_service.http.paths import match_path
from tailfuse_service.http.router import RequestRecord
from tailfuse_service.http.timeouts import Deadline, Timeouts

from tests.support.connection import BODY, CHUNKED, GOOD, Connection, request, statuses


def test_a_client_that_does_not_read_is_disconnected(drive: Any) -> None:
    """Neither a full buffer nor a close that waits for one keeps a connection, or counts for long."""

    async def play(connection: Connection) -> None:
        connection.send(request(b"", target=b"/metrics", method=b"GET"))
        await connection.idle()
        connection.protocol.pause_writing()
        connection.send(request(b"", target=b"/metrics", method=b"GET"))
        await wait_for_abort(connection)
        closing = Connection(connection.app)
        closing.send(request(BODY, b"connection: close"))
        await closing.idle()
        assert closing.wire.closed
        assert not closing.wire.aborted
        await wait_for_abort(closing)
        closing.lose()

    drive(play, send_timeout_s=0.1)


async def wait_for_abort(connection: Connection) -> None:
    for _ in range(2000):
        await asyncio.sleep(0.001)
        if connection.wire.aborted:
            return
    raise AssertionError("the connection stays open")


def test_routes_that_the_limit_exempts_do_not_count_in_it(drive: Any) -> None:
    async def play(connection: Connection) -> None:
        app = connection.app
        open_, limited = match_path("/metrics"), match_path("/predict")
        others = [
            RequestRecord({"headers": [], "method": "GET", "path": "/metrics"}, open_) for _ in range(9)
        ]
        for each in others:
            app.begin_request(each, "192.0.2.1")
        first = RequestRecord({"headers": [], "method": "POST", "path": "/predict"}, limited)
        second = RequestRecord({"headers": [], "method": "POST", "path": "/predict"}, limited)
        app.begin_request(first, "192.0.2.1")
        with pytest.raises(TooManyRequests):
            app.begin_request(second, "192.0.2.1")
        assert app.in_flight == 11
        for each in (*others, first, second):
            app.end_request(each, 200)
        connection.send(GOOD)
        await connection.idle()
        assert connection.wire.written.startswith(b"HTTP/1.1 200 ")

    drive(play, max_concurrency=1)


@pytest.mark.parametrize("data", [GOOD[:-1], CHUNKED + b"5\r\nhel"], ids=["fast path", "ASGI"])
def test_a_stop_does_not_wait_long_for_a_request_to_arrive(
    drive: Any, monkeypatch: pytest.MonkeyPatch, data: bytes
) -> None:
    monkeypatch.setattr(connection_module, "STOP_WAIT_S", 0.05)

    async def play(connection: Connection) -> None:
        connection.send(data)
        connection.protocol.shutdown()
        await asyncio.sleep(0)
        assert not connection.wire.closed
        while not connection.wire.closed:
            await asyncio.sleep(0.005)
        assert statuses(connection) == [b"408"]

    drive(play)


def test_a_request_that_does_not_arrive_is_refused(drive: Any) -> None:
    async def play(connection: Connection) -> None:
        connection.send(GOOD[:-1])
        while not connection.wire.closed:
            await asyncio.sleep(0.005)
        assert statuses(connection) == [b"408"]

    drive(play, receive_timeout_s=0.05)


class Clock:
    """A loop whose time is made up: what is due runs when the time is put forward."""

    def __init__(self) -> None:
        self.now = 0.0
        self.calls: list[tuple[float, Callable[[], None]]] = []

    def time(self) -> float:
        return self.now

    def call_later(self, delay: float, callback: Callable[[], None]) -> Any:
        call = (self.now + delay, callback)
        self.calls.append(call)
        return SimpleNamespace(cancel=lambda: self.calls.remove(call) if call in self.calls else None)

    def advance(self, seconds: float) -> None:
        end = self.now + seconds
        while due := [call for call in self.calls if call[0] <= end]:
            call = min(due, key=lambda each: each[0])
            self.calls.remove(call)
            self.now = call[0]
            call[1]()
        self.now = end


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def expired() -> list[Deadline]:
    return []


@pytest.fixture
def timeouts(clock: Clock, expired: list[Deadline]) -> Timeouts:
    loop: Any = clock
    return Timeouts(loop, 0.5, 0.2, 60.0, is_idle=lambda: False, expired=expired.append)


@pytest.mark.parametrize("begin", [0.0, 0.1, 0.3, 0.49, 0.7])
def test_a_time_out_comes_when_it_is_due(
    clock: Clock, timeouts: Timeouts, expired: list[Deadline], begin: float
) -> None:
    """Not only when the timer of the connection's start fires again."""
    clock.advance(begin)
    timeouts.receiving_since = clock.now
    clock.advance(0.499)
    assert expired == []
    clock.advance(0.002)
    assert expired == [Deadline.RECEIVE]


def test_a_client_that_reads_again_is_not_disconnected(
    clock: Clock, timeouts: Timeouts, expired: list[Deadline]
) -> None:
    for _ in range(9):
        timeouts.sending_since = clock.now
        clock.advance(0.15)
        timeouts.sending_since = None
    assert expired == []
    timeouts.sending_since = clock.now
    clock.advance(0.201)
    assert expired == [Deadline.SEND]
