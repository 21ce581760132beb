"""Bytes that are received and read are counted, refused if they do not fit, and all given back."""

import asyncio
import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from tailfuse_service.app import create_app
from tailfuse_service.bundle import Bundle
from tailfuse_service.errors import Overloaded, PayloadTooLarge
from tailfuse_service.http.memory import (
    FLAT_BYTES,
    MIN_AGE_S,
    MIN_COUNTED,
    Hold,
    RequestMemory,
    estimate_read_bytes,
)
from tailfuse_service.settings import Settings

from tests.support.calls import Call
from tests.support.connection import Connection, request


def test_what_does_not_fit_is_refused_and_all_is_given_back() -> None:
    memory = RequestMemory()
    memory.limit = 100
    one, other = Hold(memory), Hold(memory)
    one.take(60)
    with pytest.raises(Overloaded):
        other.take(41)
    with pytest.raises(PayloadTooLarge):
        other.take(101)
    other.take(40)
    one.keep(10)
    assert (memory.held, one.n_bytes) == (50, 10)
    one.keep(20)  # it has no more
    one.keep(0)
    other.keep(0)
    assert memory.held == 0


@pytest.mark.parametrize(
    "text", ["a" * 400_000, "é" * 200_000, "😀" + "a" * 400_000, "\\ud83d\\ude00" + "a" * 400_000]
)
def test_the_estimate_of_a_text_is_an_upper_bound(text: str) -> None:
    body = f'["{text}"]'.encode()
    (read,) = orjson.loads(body)
    size = read.__sizeof__()
    assert size <= estimate_read_bytes(body) <= 12 * size


@pytest.mark.parametrize("value", ["[]", "1.5", "{}", '""', "[1]", '"é"'])
def test_the_estimate_of_values_is_an_upper_bound(value: str) -> None:
    n = 2 * FLAT_BYTES // (len(value) + 1)
    body = f"[{','.join([value] * n)}]".encode()
    values = orjson.loads(body)
    size = values.__sizeof__() + sum(each.__sizeof__() + 16 for each in values)  # 16: of the collector
    assert size <= estimate_read_bytes(body)


def test_a_thread_that_reads_for_a_client_who_has_gone_holds_nothing() -> None:
    memory = RequestMemory()
    hold = Hold(memory)
    hold.take(10)
    hold.close()
    with pytest.raises(Overloaded):
        hold.take(5)
    assert memory.held == 0


class Slow:
    """A connection that has been receiving since a time."""

    def __init__(self, memory: RequestMemory, since: float | None) -> None:
        self.since, self.hold, self.gone = since, Hold(memory, self), False

    def get_receiving_since(self) -> float | None:
        return self.since

    def give_way(self) -> None:
        self.gone = True
        self.hold.close()


def test_the_oldest_half_of_a_body_gives_way_to_a_new_request() -> None:
    memory = RequestMemory()
    memory.limit = 100
    slow = [Slow(memory, since) for since in (0.0, 1.0, 8.5, None)]
    for each in slow:
        each.hold.receive(25, now=9.0)
    new = Slow(memory, 9.0)
    new.hold.receive(40, now=9.0)
    assert [each.gone for each in slow] == [True, True, False, False]
    with pytest.raises(Overloaded):  # nobody else is old enough, and it does not give way to itself
        new.hold.receive(60, now=8.5 + MIN_AGE_S / 2)
    for each in (*slow, new):
        each.hold.close()
    assert (memory.held, memory.receiving) == (0, {})


def half_of_a_request(n_bytes: int) -> bytes:
    head = f"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: {2 * n_bytes}\r\n\r\n"
    return head.encode() + b"[" * n_bytes


@pytest.mark.parametrize("n_bytes", [20_000, 400_000], ids=["fast path", "ASGI"])
def test_halves_of_bodies_are_counted_until_their_clients_go(drive: Callable[..., Any], n_bytes: int) -> None:
    async def play(connection: Connection) -> int:
        connection.send(half_of_a_request(n_bytes))
        held = connection.app.memory.held
        connection.lose()
        await asyncio.sleep(0)
        assert connection.app.memory.held == 0
        return held

    assert drive(play) >= n_bytes


def test_a_half_for_which_there_is_no_memory_gets_429_although_the_client_sends_on(
    drive: Callable[..., Any],
) -> None:
    async def play(connection: Connection) -> None:
        wire = connection.wire
        connection.app.memory.limit = 30_000
        connection.send(half_of_a_request(20_000))
        connection.send(b"[" * 15_000)
        assert connection.app.memory.held == 0
        assert b" 429 " in wire.written
        assert wire.ended
        assert not wire.closed  # to close while the client sends would reset the connection
        assert isinstance(wire.protocol, asyncio.Protocol)
        wire.protocol.data_received(b"[" * 15_000)
        assert connection.app.memory.held == 0
        assert wire.protocol.eof_received() is None  # which closes

    drive(play)


def test_a_refused_half_gets_one_answer_although_its_time_to_arrive_ends(
    drive: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    async def play(connection: Connection) -> None:
        connection.app.memory.limit = 30_000
        connection.send(half_of_a_request(20_000))
        connection.send(b"[" * 15_000)
        await asyncio.sleep(0.1)
        assert connection.wire.answers == 1

    drive(play, receive_timeout_s=0.02)
    assert not [each for each in caplog.records if each.levelname == "ERROR"]


def test_a_connection_that_holds_nothing_is_not_asked_to_give_way(drive: Callable[..., Any]) -> None:
    async def play(connection: Connection) -> None:
        whole = request(b"{}", target=b"/predict/batch")
        connection.send(whole[:50])
        assert list(connection.app.memory.receiving) == [connection.protocol]
        connection.send(whole[50:])
        await connection.idle()
        assert connection.app.memory.receiving == {}
        assert connection.app.memory.held == 0

    drive(play)


def test_a_client_that_sends_on_for_too_long_is_disconnected(
    drive: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tailfuse_service.http.lingering.LINGER_S", 0.0)

    async def play(connection: Connection) -> None:
        connection.app.memory.limit = 30_000
        connection.send(half_of_a_request(40_000))
        await asyncio.sleep(0.01)
        assert connection.wire.aborted

    drive(play)


def make_body(n_bytes: int) -> bytes:
    return orjson.dumps({"inputs": {"notes": "word " * (n_bytes // 5)}})


@pytest.mark.parametrize("n_bytes", [MIN_COUNTED - 100, MIN_COUNTED + 100, FLAT_BYTES + 100])
@pytest.mark.parametrize("path", ["/predict", "/predict/batch"])
def test_a_body_is_held_until_it_is_answered(
    tiny_bundle: Path, bundle: Bundle, path: str, n_bytes: int
) -> None:
    async def scenario() -> None:
        app = create_app(Settings(bundle=tiny_bundle), bundle)
        app.memory.limit = 10 * n_bytes + 100_000
        body = make_body(n_bytes)
        if path != "/predict":
            body = b'{"items": [' + body + b"]}"
        assert await Call(app, path, [body]).status() == 200
        assert app.memory.held == 0
        app.memory.limit = n_bytes // 2
        call = Call(app, path, [body])
        assert await call.status() == 413
        assert app.memory.held == 0

    asyncio.run(scenario())


def test_a_compressed_body_is_held_as_long_as_it_is_unpacked(tiny_bundle: Path, bundle: Bundle) -> None:
    async def scenario() -> None:
        app = create_app(Settings(bundle=tiny_bundle), bundle)
        packed = gzip.compress(make_body(1_000_000))
        assert await Call(app, chunks=[packed], content_encoding="gzip").status() == 200
        app.memory.limit = 900_000
        assert await Call(app, chunks=[packed], content_encoding="gzip").status() == 413
        assert app.memory.held == 0

    asyncio.run(scenario())
