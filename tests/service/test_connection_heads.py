"""Heads that the parser takes, and what they must not do: break a connection, or open what needs a key."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from tailfuse_service.http.head import complete_target

from tests.support.connection import BODY, GOOD, KEY, Connection, request, statuses

CHUNKS = b"%x\r\n%s\r\n0\r\n" % (len(BODY), BODY)


@pytest.mark.parametrize(
    "line",
    [
        b"Content-Length: " + b"0" * 5000, b"Content-Length: " + b"0" * 21,
        b"Transfer-Encoding: gzip, chunked", b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked",
        b"Host: y",
    ],
    ids=["5000 zeros", "21 zeros", "gzip, chunked", "gzip and chunked", "two hosts"],
)  # fmt: skip
def test_an_odd_head_is_a_bad_request_and_no_failure(
    drive: Any, caplog: pytest.LogCaptureFixture, line: bytes
) -> None:
    async def play(connection: Connection) -> None:
        connection.send(b"POST /predict HTTP/1.1\r\nHost: x\r\n" + line + b"\r\n\r\n")
        await asyncio.sleep(0.01)
        assert statuses(connection) == [b"400"]
        assert connection.wire.closed
        assert not connection.wire.aborted

    drive(play)
    assert "connection broken" not in caplog.text


@pytest.mark.parametrize(
    ("target", "status"),
    [
        (b"http://x", b"200"),
        (b"http://x?a=b", b"200"),
        (b"http://x/nope", b"404"),
        (b"http://x/healthz", b"200"),
    ],
)
def test_an_absolute_target_without_a_path_is_the_root(drive: Any, target: bytes, status: bytes) -> None:
    async def play(connection: Connection) -> None:
        connection.send(request(b"", target=target, method=b"GET"))
        await connection.idle()
        assert statuses(connection) == [status]
        assert not connection.wire.aborted

    drive(play)


def test_a_target_is_completed_only_where_it_has_no_path() -> None:
    for target in (b"/", b"/predict?a=b", b"*", b"http://x/predict", b"//nope"):
        assert complete_target(target) == target
    assert complete_target(b"http://x") == b"/"
    assert complete_target(b"http://x:80?a=b") == b"/?a=b"


@pytest.mark.parametrize("trailer", [b"Authorization: Bearer " + KEY.encode(), b"X-API-Key: " + KEY.encode()])
@pytest.mark.parametrize("at_once", [True, False])
def test_a_key_in_a_trailer_opens_nothing(drive: Any, keys: Path, trailer: bytes, at_once: bool) -> None:
    head = b"POST /predict HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"

    async def play(connection: Connection) -> None:
        if at_once:
            connection.send(head + CHUNKS + trailer + b"\r\n\r\n")
        else:
            connection.send(head + CHUNKS)
            await asyncio.sleep(0.01)
            if connection.wire.reads:
                connection.send(trailer + b"\r\n\r\n")
        await connection.idle()
        assert statuses(connection) == [b"401"]

    drive(play, api_keys=keys)


def test_a_trailer_changes_no_header(drive: Any) -> None:
    async def play(connection: Connection) -> None:
        head = b"POST /predict HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
        connection.send(head + CHUNKS + b"Content-Type: text/html\r\nX-Request-Id: trailer\r\n\r\n")
        await connection.idle()
        assert statuses(connection) == [b"200"]
        assert b"x-request-id: trailer" not in connection.wire.written

    drive(play)


@pytest.mark.parametrize("target", [b"/predict", b"/predict/batch", b"/nope"])
def test_what_is_dropped_of_a_refused_request_takes_no_memory(drive: Any, keys: Path, target: bytes) -> None:
    async def play(connection: Connection) -> None:
        head = b"POST %s HTTP/1.1\r\nhost: x\r\ncontent-length: 200000\r\n\r\n" % target
        connection.send(head)
        await asyncio.sleep(0.02)
        assert statuses(connection) == [b"401"]
        most = 0
        for _ in range(199):
            connection.send(b"x" * 1000)
            await asyncio.sleep(0)
            most = max(most, connection.app.memory.held)
        assert most <= 2000
        connection.send(b"x" * 1000)
        if not connection.wire.closed:
            connection.send(request(BODY, b"x-api-key: " + KEY.encode()))
            await connection.idle()
            assert statuses(connection) == [b"401", b"200"]

    drive(play, api_keys=keys)


def test_a_good_request_is_not_changed_by_any_of_this(drive: Any) -> None:
    async def play(connection: Connection) -> None:
        connection.send(GOOD)
        await connection.idle()
        assert statuses(connection) == [b"200"]

    drive(play)
