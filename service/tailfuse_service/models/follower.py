"""The follower of a store: its mirror asks the store again and again, off the event loop."""

import asyncio
import contextlib
from functools import partial

from tailfuse_service.logs import LOG
from tailfuse_service.stores.mirror import Mirror
from tailfuse_service.stores.time_limit import start_call


class StoreFollower:
    """Polls one store. The reconciler opens what the mirror has fetched."""

    def __init__(self, mirror: Mirror, poll_s: float) -> None:
        self._mirror = mirror
        self._poll_s = poll_s or None  # None: only when it is woken
        self._wake = asyncio.Event()

    def wake(self) -> None:
        """Ask the store soon, on the event loop; bundles that were refused are fetched again."""
        self._wake.set()

    async def watch(self) -> None:
        """Follow the store until cancelled. A failure leaves the mirror as it is."""
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), self._poll_s)
            again = self._wake.is_set()
            self._wake.clear()
            try:
                # Not asyncio.to_thread, whose threads the end of a process waits for.
                await asyncio.wrap_future(start_call(partial(self._mirror.follow, again=again)))
            except Exception as error:
                LOG.error("store not followed", exc_info=error)
