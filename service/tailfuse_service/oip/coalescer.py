"""Coalesce bursts of gRPC calls, so that they share a batch.

grpcio passes calls to the event loop one at a time, and none while a batch runs there. Each call would
become its own batch (measured: 1.1 samples in a batch with 64 calls at a time, and twice the CPU).
"""

import asyncio
import time

BURST_GAP_S = 0.001  # calls with shorter gaps are a burst
MAX_WAIT_S = 0.002  # maximum wait of a call


class Coalescer:
    """Every call awaits it. A single call continues at once; calls of a burst wait for each other."""

    def __init__(self) -> None:
        self._last = 0.0
        self._waiting: list[asyncio.Future[None]] = []

    async def wait(self) -> None:
        """Wait for the other calls of a burst."""
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
            if not future.done():  # else its client is gone
                future.set_result(None)
