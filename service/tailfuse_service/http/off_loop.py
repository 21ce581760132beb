"""Work on large bodies, which must not hold up the event loop.

One thread does it for all requests. Python code of several threads would only take turns, and with each of
them the event loop would wait longer for its own. It works for the callers in turns.
"""

import asyncio
import gc
from asyncio import AbstractEventLoop
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from tailfuse_service.inference.caller import CALLER
from tailfuse_service.inference.fair_threads import FairThreads

T = TypeVar("T")

# Reading less takes about as long as the detour by a thread would delay others.
INLINE_BYTES = 256 * 1024
# A refused body stays in memory until garbage is collected, because its error and their frames refer to each
# other; and a service without traffic never collects. What was there at the start is frozen, so it is quick.
COLLECT_AFTER_S = 1.0
_pool = ThreadPoolExecutor(1, thread_name_prefix="large-body")
_readers: WeakKeyDictionary[AbstractEventLoop, FairThreads] = WeakKeyDictionary()


class Collector:
    """Collects garbage some time after large bodies, however many there were."""

    def __init__(self) -> None:
        self._scheduled_until = 0.0

    def schedule(self) -> None:
        """Collect after COLLECT_AFTER_S, unless that is to happen anyway."""
        loop = asyncio.get_running_loop()
        if loop.time() >= self._scheduled_until:
            self._scheduled_until = loop.time() + COLLECT_AFTER_S
            loop.call_later(COLLECT_AFTER_S, gc.collect)


_collector = Collector()


async def read_off_loop(n_bytes: int, read: Callable[..., T], *arguments: Any) -> T:
    """Return what `read` makes of a body of that length; of a large one in a thread."""
    if n_bytes <= INLINE_BYTES:
        return read(*arguments)
    loop = asyncio.get_running_loop()
    readers = _readers.get(loop)
    if readers is None:
        readers = _readers[loop] = FairThreads(_pool)
    try:
        return await readers.run(CALLER.get(), read, *arguments)
    finally:
        _collector.schedule()
