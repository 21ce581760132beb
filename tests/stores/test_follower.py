"""The follower of a store: it asks again and again, and at once when it is woken. No time passes here."""

import asyncio
import threading
from typing import Any

from tailfuse_service.models.follower import StoreFollower


class FakeMirror:
    """Keeps how it was called; fails in the first call."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.calls: list[bool] = []
        self._loop = loop
        self.called: asyncio.Queue[bool] = asyncio.Queue()

    def follow(self, *, again: bool) -> None:
        self.calls.append(again)
        self._loop.call_soon_threadsafe(self.called.put_nowait, again)
        if len(self.calls) == 1:
            raise RuntimeError("nobody has foreseen this")


def test_a_woken_follower_asks_at_once_and_outlives_a_failure() -> None:
    async def play() -> list[bool]:
        mirror: Any = FakeMirror(asyncio.get_running_loop())
        follower = StoreFollower(mirror, 0)  # it is never its turn by itself
        task = asyncio.create_task(follower.watch())
        for _ in range(2):
            follower.wake()
            await asyncio.wait_for(mirror.called.get(), 60)
        task.cancel()
        calls: list[bool] = mirror.calls
        return calls

    assert asyncio.run(play()) == [True, True]


def test_a_follower_asks_by_itself_when_its_time_has_come() -> None:
    async def play() -> bool:
        mirror: Any = FakeMirror(asyncio.get_running_loop())
        task = asyncio.create_task(StoreFollower(mirror, 0.001).watch())
        again: bool = await asyncio.wait_for(mirror.called.get(), 60)
        task.cancel()
        return again

    assert asyncio.run(play()) is False


def test_a_store_that_hangs_does_not_keep_the_service_from_ending() -> None:
    called, released = threading.Event(), threading.Event()

    class HangingMirror:
        def follow(self, *, again: bool) -> None:
            called.set()
            released.wait(60)

    async def play() -> None:
        mirror: Any = HangingMirror()
        task = asyncio.create_task(StoreFollower(mirror, 0.001).watch())
        await asyncio.to_thread(called.wait, 60)
        task.cancel()

    guard = threading.Timer(30, released.set)
    guard.start()
    asyncio.run(play())
    assert not released.is_set(), "the end has waited for the store"
    released.set()
    guard.cancel()
