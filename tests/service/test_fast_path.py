"""One connection harms no other: its requests are counted in and out, one answer per turn of the loop."""

import asyncio
import gc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tailfuse_service.errors import BadRequest
from tailfuse_service.http.connection import Protocol
from tailfuse_service.http.feeder import Feeder

from tests.support.connection import BODY, CHUNKED, GOOD, KEY, REFUSED, UPGRADE, Connection, request


def test_pipelined_offers_of_an_upgrade_are_answered_one_by_one(drive: Any, keys: Path) -> None:
    async def play(connection: Connection) -> None:
        connection.send(UPGRADE * 600)
        await connection.idle()
        assert connection.wire.answers == 600
        assert connection.wire.written.count(b"HTTP/1.1 401 ") == 600
        assert not connection.wire.closed

    drive(play, api_keys=keys)


@pytest.mark.parametrize("data", [REFUSED, UPGRADE, request(b"", target=b"/nope", method=b"GET")])
def test_a_pipeline_of_refusals_gives_way_after_each(drive: Any, data: bytes) -> None:
    """However many requests wait on one connection, another's turn comes after each answer."""

    async def play(connection: Connection) -> None:
        connection.send(data * 100)
        turns, most, seen = 0, 0, connection.wire.answers
        assert seen == 0  # nothing is answered while data is received
        while connection.wire.answers < 100:
            await asyncio.sleep(0)
            most, seen = max(most, connection.wire.answers - seen), connection.wire.answers
            turns += 1
            assert turns < 5000
        assert most == 1

    drive(play)


def test_no_more_than_one_request_of_a_pipeline_is_parsed(
    drive: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    parsed = 0
    on_headers_complete = Protocol.on_headers_complete

    def count(protocol: Protocol) -> None:
        nonlocal parsed
        parsed += 1
        on_headers_complete(protocol)

    monkeypatch.setattr(Protocol, "on_headers_complete", count)

    async def play(connection: Connection) -> None:
        connection.send(REFUSED * 3000)
        assert not connection.wire.reads
        while connection.wire.answers < 3000:
            assert parsed - connection.wire.answers <= 1
            assert len(connection.protocol.pipeline) == 0
            await asyncio.sleep(0)
        await connection.idle()
        assert connection.wire.reads

    drive(play)


def test_chunked_requests_in_one_read_are_parsed_one_by_one(drive: Any) -> None:
    """Where a chunked body ends is not known beforehand, and yet nothing behind it is parsed."""
    one = b"POST /predict HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"

    async def play(connection: Connection) -> None:
        connection.send(one * 500)
        while connection.wire.answers < 500:
            assert not connection.protocol.pipeline
            await asyncio.sleep(0)

    drive(play)


ENDLESS = {
    "chunks of a byte": (CHUNKED, b"1\r\nx\r\n"),
    "empty lines in chunks": (
        b"POST /nope HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n", b"8\r\n\r\n\r\n\r\n\r\n\r\n",
    ),
    "empty lines": (b"", b"\r\n\r\n"),
}  # fmt: skip


@pytest.mark.parametrize(("begin", "piece"), ENDLESS.values(), ids=ENDLESS)
def test_a_request_without_end_gives_way(drive: Any, begin: bytes, piece: bytes) -> None:
    """Of one connection, one turn of the loop parses a few kilobytes, unless they are one body."""
    data = (begin + piece * 50_000)[:200_000]

    async def play(connection: Connection) -> None:
        connection.send(data)
        turns = 0
        while not connection.wire.reads:  # which it does once all is parsed
            await asyncio.sleep(0)
            turns += 1
        assert turns >= 10

    drive(play)


def test_answered_refusals_are_forgotten(drive: Any) -> None:
    """Each holds its traceback; if that held the one before, a pipeline would keep all of them."""

    def count_alive() -> int:
        return sum(type(each) is BadRequest for each in gc.get_objects())

    async def play(connection: Connection) -> None:
        before = count_alive()  # the document's examples, and what other tests have left
        connection.send(REFUSED * 300)
        while connection.wire.answers < 200:
            await asyncio.sleep(0)
        assert count_alive() - before <= 2
        await connection.idle()

    drive(play)


def test_a_head_is_remembered_for_its_own_request_only(drive: Any, keys: Path) -> None:
    """The end of a pipeline, and a request that uvicorn answers, with the same body: two requests."""
    with_key = request(BODY, b"x-api-key: " + KEY.encode())
    stranger = request(BODY, b"origin: https://example.org")

    async def play(connection: Connection) -> None:
        connection.send(with_key + with_key)
        await connection.idle()
        for _ in range(2):
            connection.send(stranger)
            await connection.idle()
        answers = connection.wire.written.split(b"HTTP/1.1 ")[1:]
        assert [answer[:3] for answer in answers] == [b"200", b"200", b"401", b"401"]

    drive(play, api_keys=keys)


def test_nothing_is_parsed_once_a_connection_is_closing(drive: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A close waits for what is written, perhaps for long; nothing must be tried over and over meanwhile."""
    fed = 0
    feed = Feeder.feed

    def count(feeder: Feeder) -> None:
        nonlocal fed
        fed += 1
        feed(feeder)

    monkeypatch.setattr(Feeder, "feed", count)

    async def play(connection: Connection) -> None:
        connection.send(request(BODY, b"connection: close") + GOOD * 20)
        await connection.idle()
        assert connection.wire.closed
        assert connection.wire.answers == 1
        assert fed <= 2

    drive(play)


@pytest.mark.parametrize("data", [REFUSED, GOOD, UPGRADE, request(b"", target=b"/nope", method=b"GET")])
def test_a_caller_who_does_not_read_is_not_answered(drive: Any, data: bytes) -> None:
    """While the transport's buffer is full, nothing is read, parsed or answered; then all goes on."""

    async def play(connection: Connection) -> None:
        connection.send(data)
        await connection.idle()
        assert connection.wire.answers == 1
        connection.protocol.pause_writing()
        connection.send(data * 50)
        await connection.idle()
        assert connection.wire.answers == 1
        assert not connection.wire.reads
        connection.protocol.resume_writing()
        while connection.wire.answers < 51:
            await asyncio.sleep(0)
        assert connection.wire.reads

    drive(play)


def test_what_is_received_beyond_a_pause_is_kept_in_order(drive: Any) -> None:
    """A read may be under way when the protocol pauses; its data comes after what is held."""
    ids = [b"id-%d" % i for i in range(8)]

    async def play(connection: Connection) -> None:
        stream = b"".join(request(BODY, b"x-request-id: " + name) for name in ids)
        connection.protocol.data_received(stream[:300])
        connection.protocol.data_received(stream[300:310])
        connection.protocol.data_received(stream[310:])
        while connection.wire.answers < len(ids):
            await asyncio.sleep(0.001)
        positions = [connection.wire.written.index(b"x-request-id: " + name + b"\r\n") for name in ids]
        assert positions == sorted(positions)

    drive(play)


def test_a_long_body_is_handed_on_whole(drive: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Small slices are for what may hold many requests; a body of known length is one request."""
    pieces: list[int] = []
    on_body = Protocol.on_body

    def note(protocol: Protocol, body: bytes) -> None:
        pieces.append(len(body))
        on_body(protocol, body)

    monkeypatch.setattr(Protocol, "on_body", note)
    body = b'{"inputs": {"notes": "' + b"a " * 30_000 + b'"}}'

    async def play(connection: Connection) -> None:
        connection.send(request(body))
        await connection.idle()
        assert connection.wire.written.startswith(b"HTTP/1.1 200 ")

    drive(play)
    assert pieces == [len(body)]


PIECES = [
    GOOD, REFUSED, UPGRADE, b"\r\n", b"\r\n\r\n", b"\0", b"GET / HTTP/1.1\r\n", b"host: x\r\n", BODY,
    b"transfer-encoding: chunked\r\n\r\n", b"5\r\nhello\r\n", b"0\r\n\r\n", GOOD[:-3], GOOD[7:],
    b"CONNECT x:1 HTTP/1.1\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    request(b"{", target=b"/predict/batch"), request(BODY, b"expect: 100-continue"),
    request(BODY, b"connection: close"), request(b"", target=b"/healthz", method=b"GET"),
    request(b"", target=b"/\xff", method=b"GET"),
]  # fmt: skip
READ = st.lists(st.sampled_from(PIECES) | st.binary(max_size=20), max_size=8).map(b"".join)


@pytest.mark.slow
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(reads=st.lists(READ, max_size=5), gone=st.booleans())
def test_whatever_is_sent_nothing_stays_in_flight(drive: Any, reads: list[bytes], gone: bool) -> None:
    async def play(connection: Connection) -> None:
        for data in filter(None, reads):
            if not connection.wire.closed:
                connection.protocol.data_received(data)
                await asyncio.sleep(0)
        if not gone:
            await connection.idle()

    drive(play)  # which looks at what is in flight
