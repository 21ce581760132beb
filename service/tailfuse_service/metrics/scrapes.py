"""Scrapes: however many there are, rendering the metrics takes a bounded share of the event loop's time.

A scrape needs no key, and a rendering takes milliseconds, during which no other request is answered.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable

MAX_SHARE = 0.02  # of the event loop's time; Prometheus itself needs one rendering in 15 s
MAX_PAUSE_S = 1.0  # between two renderings, however many metrics there are


class Scrapes:
    """Renders at once, unless the last rendering was just now. Scrapes that wait share the next rendering.

    A scrape never gets a rendering that began before it: its own earlier requests are counted.
    """

    def __init__(
        self,
        render: Callable[[], bytes],
        *,
        now: Callable[[], float] = time.perf_counter,
        used: Callable[[], float] = time.thread_time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._render = render
        self._now = now
        self._used = used  # CPU seconds: on a busy machine a rendering can last long without costing more
        self._sleep = sleep
        self._text = b""
        self._begun = float("-inf")  # of the last rendering
        self._next = float("-inf")  # earliest begin of the next one

    async def read(self) -> bytes:
        """Return the metrics as they are now, or a little later. Raises what the rendering raises."""
        arrived = self._now()
        while self._begun < arrived:
            wait_s = self._next - self._now()
            if wait_s > 0:
                await self._sleep(wait_s)
            else:
                self._render_now()
        return self._text

    def _render_now(self) -> None:
        begun, used = self._now(), self._used()
        try:
            self._text = self._render()
            self._begun = begun
        finally:
            cost = self._used() - used
            self._next = self._now() + min(cost * (1 / MAX_SHARE - 1), MAX_PAUSE_S)
