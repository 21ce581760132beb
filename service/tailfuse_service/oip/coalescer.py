"""Has calls that come thick and fast wait for each other.

grpcio hands calls to the event loop one at a time, and while a batch runs there it hands over none: each
would become a batch of its own (measured: 1.1 samples in a batch with 64 calls at a time, and twice the CPU).
"""

import asyncio
import time

BURST_GAP_S = 0.001  # calls that come closer together are many
MAX_WAIT_S = 0.002  # no call waits for longer


class Coalescer:
    """To be awaited by every call. One that comes alone goes on at once."""

    def __init__(self) -> None:
        self._last = 0.0
        self._waiting: list[asyncio.Future[None]] = []

    async def wait(self) -> None:
        """Until those that are near have come."""
        now = time.perf_counter()
        near, self._last = now - self._last < BURST_GAP_S, now
        if not (near or self._waiting):
            return
        loop = asyncio.get_running_loop()
        if not self._waiting:
            loop.call_later(MAX_WAIT_S, self._release)
        future = loop.create_future()
        self._waiting.append(future)
        await future

    def _release(self) -> None:
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():  # else its caller has gone
                future.set_result(None)
