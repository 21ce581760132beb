"""Messages of gRPC that arrive: as many at once as there is memory for, and nobody keeps the others out."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from tailfuse_service.errors import BadRequest, ReceiveTimeout, TooManyRequests
from tailfuse_service.http.paths import PREDICT, match_path
from tailfuse_service.http.router import TaskRequest
from tailfuse_service.oip import arrivals
from tailfuse_service.oip.arrivals import MAX_ARRIVALS, MEMORY_SHARE, Arrivals

MESSAGE_BYTES = 1000
FOREVER_S = 1000.0


async def never() -> AsyncIterator[bytes]:
    """A message that never arrives."""
    await asyncio.Event().wait()
    yield b""


async def at_once() -> AsyncIterator[bytes]:
    yield b"a message"


async def nothing() -> AsyncIterator[bytes]:
    """A call that ends without a message."""
    return
    yield b""


class Calls:
    """Starts calls, each a task of its own, as grpcio does."""

    def __init__(self, limit: int | None, timeout_s: float = FOREVER_S) -> None:
        self.arrivals = Arrivals(MESSAGE_BYTES, timeout_s, lambda: limit)

    def start(self, messages: AsyncIterator[bytes]) -> asyncio.Task[bytes]:
        async def handle() -> bytes:
            call = TaskRequest({"headers": []}, match_path(PREDICT))
            try:
                return await self.arrivals.receive(call, messages)
            except asyncio.CancelledError as error:
                raise call.find_error(error) from None

        return asyncio.create_task(handle())


def drive(play: Callable[[], Awaitable[None]]) -> None:
    async def scenario() -> None:
        async with asyncio.timeout(30):
            await play()

    asyncio.run(scenario())


async def let_begin() -> None:
    """Let all tasks run until they wait."""
    for _ in range(10):
        await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("limit", "expected"),
    [(None, MAX_ARRIVALS), (MEMORY_SHARE * MESSAGE_BYTES * 3, 3), (1, 1), (10**9, MAX_ARRIVALS)],
)
def test_as_many_arrive_at_once_as_there_is_memory_for(limit: int | None, expected: int) -> None:
    async def play() -> None:
        calls = Calls(limit)
        tasks = [calls.start(never()) for _ in range(expected + 5)]
        await let_begin()
        assert len(calls.arrivals._begun) == expected
        for each in tasks:
            each.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert not calls.arrivals._begun

    drive(play)


def test_a_call_that_waits_gets_the_place_of_one_that_has_ended() -> None:
    async def play() -> None:
        calls = Calls(1)
        arriving = calls.start(never())
        waiting = calls.start(at_once())
        await let_begin()
        assert not waiting.done()
        arriving.cancel()
        assert await waiting == b"a message"

    drive(play)


def test_the_oldest_arrival_gives_way_to_one_that_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrivals, "MIN_AGE_S", 0.0)

    async def play() -> None:
        calls = Calls(2 * MEMORY_SHARE * MESSAGE_BYTES)
        oldest, other = calls.start(never()), calls.start(never())
        await let_begin()
        assert await calls.start(at_once()) == b"a message"
        with pytest.raises(TooManyRequests):
            await oldest
        assert not other.done()
        other.cancel()

    drive(play)


def test_nobody_gives_way_while_there_are_places(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrivals, "MIN_AGE_S", 0.0)

    async def play() -> None:
        calls = Calls(None)
        slow = calls.start(never())
        for _ in range(20):
            assert await calls.start(at_once()) == b"a message"
        assert not slow.done()
        slow.cancel()

    drive(play)


@pytest.mark.parametrize("n_before", [0, 1])
def test_a_message_that_does_not_arrive_in_time_is_refused(n_before: int) -> None:
    """Also while its call waits for a place."""

    async def play() -> None:
        calls = Calls(1, timeout_s=0.01)
        tasks = [calls.start(never()) for _ in range(n_before + 1)]
        for each in tasks:
            with pytest.raises(ReceiveTimeout):
                await each

    drive(play)


def test_a_call_without_a_message_is_refused() -> None:
    async def play() -> None:
        with pytest.raises(BadRequest, match="no message"):
            await Calls(None).start(nothing())

    drive(play)
