"""Work on large bodies, which must not hold up the event loop.

One thread does it for all requests. Python code of several threads would only take turns, and with each of
them the event loop would wait longer for its own.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")

# Reading less takes about as long as the detour by a thread would delay others.
INLINE_BYTES = 256 * 1024
_reader = ThreadPoolExecutor(1, thread_name_prefix="large-body")


async def read_off_loop(n_bytes: int, read: Callable[..., T], *arguments: Any) -> T:
    """Return what `read` makes of a body of that length; of a large one in a thread."""
    if n_bytes <= INLINE_BYTES:
        return read(*arguments)
    return await asyncio.get_running_loop().run_in_executor(_reader, read, *arguments)
