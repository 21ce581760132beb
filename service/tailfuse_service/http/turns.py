"""Turns: which connection's held-back bytes are parsed next, where a client has sent more than one request.

In each turn of the event loop one connection of each client's address is fed. So all pipelines of a client
together slow down those who wait for each answer by one request per turn at most, however many connections
they are on.
"""

import asyncio
from collections.abc import Callable

Feed = Callable[[], None]


class Turns:
    """The connections that hold bytes back and could go on, by address. To be used on one event loop."""

    def __init__(self) -> None:
        self._waiting: dict[str, dict[Feed, None]] = {}  # of each address in the order of their turns
        self._scheduled = False

    def ask(self, address: str, feed: Feed) -> None:
        """Have `feed` called when the turn of this connection comes. A second call does nothing."""
        self._waiting.setdefault(address, {})[feed] = None
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._take)

    def withdraw(self, address: str, feed: Feed) -> None:
        """Forget a connection, if it waits."""
        feeds = self._waiting.get(address)
        if feeds is not None:
            feeds.pop(feed, None)
            if not feeds:
                del self._waiting[address]

    def _take(self) -> None:
        """Feed the next connection of each address."""
        for address, feeds in list(self._waiting.items()):
            feed = next(iter(feeds), None)
            if feed is None:
                continue  # it was withdrawn in this turn
            del feeds[feed]
            if not feeds:
                del self._waiting[address]
            feed()
        self._scheduled = bool(self._waiting)
        if self._scheduled:
            asyncio.get_running_loop().call_soon(self._take)
