"""Messages of gRPC that are arriving: a limited number at once, because nobody knows how long they will be.

A call is handled when its head has come. Until its message is asked for, grpcio takes no more of it than one
window of HTTP/2 (64 KiB). So calls wait here for their turn to receive, and one that has been receiving for
long gives way to those that wait.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable

from tailfuse_service.errors import BadRequest, TooManyRequests
from tailfuse_service.http.router import TaskRequest
from tailfuse_service.http.timeouts import make_receive_timeout

MAX_ARRIVALS = 64  # without a limit of memory
MEMORY_SHARE = 4  # what arrives may take one part in so many of the requests' memory
MIN_AGE_S = 1.0  # of an arrival that gives way


class Arrivals:
    """The calls whose message is arriving, in the order of their beginning. To be used on one event loop."""

    def __init__(
        self, max_message_bytes: int, timeout_s: float, find_limit: Callable[[], int | None]
    ) -> None:
        self._max_message_bytes = max_message_bytes
        self._timeout_s = timeout_s
        self._find_limit = find_limit
        self._begun: dict[TaskRequest, float] = {}
        self._ended = asyncio.Event()  # set by each end; whoever waits looks again

    async def receive(self, call: TaskRequest, messages: AsyncIterator[bytes]) -> bytes:
        """Return the call's message. Raises ReceiveTimeout, and BadRequest if there is none."""
        try:
            async with asyncio.timeout(self._timeout_s):
                while len(self._begun) >= self._count_places():
                    await self._wait_for_place()
                self._begun[call] = time.monotonic()
                return await anext(messages)
        except TimeoutError:
            raise make_receive_timeout(self._timeout_s) from None
        except StopAsyncIteration:
            raise BadRequest("the call has no message") from None
        finally:
            if self._begun.pop(call, None) is not None:
                self._ended.set()

    def _count_places(self) -> int:
        """Return how many messages may arrive at once."""
        limit = self._find_limit()
        if limit is None:
            return MAX_ARRIVALS
        return min(max(limit // MEMORY_SHARE // self._max_message_bytes, 1), MAX_ARRIVALS)

    async def _wait_for_place(self) -> None:
        """Wait until an arrival has ended. The oldest gives way once it is old enough."""
        oldest = next(iter(self._begun))
        left_s = self._begun[oldest] + MIN_AGE_S - time.monotonic()
        if left_s <= 0:
            oldest.refuse(
                TooManyRequests("the message arrives too slowly while others wait", retry_after_s=1)
            )
            left_s = MIN_AGE_S
        self._ended.clear()
        try:
            async with asyncio.timeout(left_s):
                await self._ended.wait()
        except TimeoutError:
            return
