"""Each request gets one answer, and one without a key is refused at its head."""

import asyncio
import gc
from pathlib import Path
from typing import Any

import pytest
from tailfuse_service.http.cycle import RequestCycle

from tests.support.connection import BODY, CHUNKED, GOOD, KEY, Connection, request, statuses


@pytest.mark.slow
def test_without_a_key_a_body_is_neither_waited_for_nor_kept(drive: Any, keys: Path) -> None:
    """The connection stays good: what is left of the body is dropped as it comes."""

    async def play(connection: Connection) -> None:
        body = b"x" * 200_000
        stranger = request(body)
        connection.send(stranger[:-150_000])
        await connection.idle()
        assert statuses(connection) == [b"401"]
        gc.collect()  # what other tests have left
        cycles = [each for each in gc.get_objects() if type(each) is RequestCycle]
        assert [each for each in cycles if sum(map(len, each.body)) > 40_000] == []
        connection.send(stranger[-150_000:] + request(BODY, b"x-api-key: " + KEY.encode()))
        await connection.idle()
        assert statuses(connection) == [b"401", b"200"]

    drive(play, api_keys=keys)


def test_heads_without_a_key_are_not_cached(drive: Any, keys: Path) -> None:
    async def play(connection: Connection) -> None:
        connection.send(GOOD)
        await connection.idle()
        assert connection.app.cached_heads.find(GOOD.partition(b"\r\n\r\n")[0]) is None

    drive(play, api_keys=keys)


ONE_ANSWER = {
    "a malformed chunk": ([CHUNKED + b"1\r\n{\r\n", b"zz\r\n"], [b"400"]),
    "no host": ([b"GET /healthz HTTP/1.1\r\n\r\n"], [b"400"]),
    "two hosts": ([b"GET /healthz HTTP/1.1\r\nhost: x\r\nhost: y\r\n\r\n"], [b"400"]),
    "no host, and a body": ([GOOD.replace(b"host: x\r\n", b"")], [b"400"]),
    "a version without hosts": ([b"GET /healthz HTTP/1.0\r\n\r\n"], [b"200"]),
    "a long head in one read": (
        [request(b"", b"x: " + b"y" * 70_000, target=b"/healthz", method=b"GET")], [b"431"]
    ),
    "rubbish behind a request": ([GOOD + b"\0rubbish\r\n\r\n"], [b"200", b"400"]),
    "a body that goes on after its refusal": (
        [b"POST /predict HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999999\r\n\r\n", b"x" * 70_000], [b"413"]
    ),
    "a bad chunk behind a refusal": (
        [b"POST /nope HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n1\r\n", b"zz\r\nqq"], [b"404"]
    ),
}  # fmt: skip


@pytest.mark.parametrize(("reads", "expected"), ONE_ANSWER.values(), ids=ONE_ANSWER)
def test_a_request_gets_one_answer(drive: Any, reads: list[bytes], expected: list[bytes]) -> None:
    async def play(connection: Connection) -> None:
        for read in reads:
            connection.protocol.data_received(read)
            for _ in range(100):
                await asyncio.sleep(0.001)
        await connection.idle()
        assert statuses(connection) == expected

    drive(play)
