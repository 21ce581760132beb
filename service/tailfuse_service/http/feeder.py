"""Feeds the parser of one connection with received bytes, a little in each turn of the event loop."""

import asyncio
from collections.abc import Callable

from tailfuse_service.http.flow import ReadControl
from tailfuse_service.http.slices import Slices

# Of one connection in one turn of the loop. A request has two, its head and its body; blank lines before it
# and an offer of an upgrade are one more each.
MAX_SLICES_PER_TURN = 4


class Feeder:
    """Holds received bytes until the parser may have them; the socket is not read meanwhile.

    `may_feed` says whether the next bytes belong to the request whose turn it is. `break_connection`
    is called with what `parse` raises.
    """

    __slots__ = ("_break_connection", "_loop", "_may_feed", "_parse", "_reading", "_turn", "slices")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        parse: Callable[[bytes], None],
        may_feed: Callable[[], bool],
        break_connection: Callable[[Exception], None],
    ) -> None:
        self._loop = loop
        self._parse = parse
        self._may_feed = may_feed
        self._break_connection = break_connection
        self._turn: asyncio.Handle | None = None
        self._reading: ReadControl | None = None
        self.slices = Slices()

    def control(self, reading: ReadControl) -> None:
        """Pause and continue reading by this."""
        self._reading = reading

    def feed(self) -> None:
        """Feed the parser as much of the request whose turn it is as one turn of the loop allows."""
        slices, reading = self.slices, self._reading
        assert reading is not None
        for _ in range(MAX_SLICES_PER_TURN):
            if not slices.data or not self._may_feed():
                break
            self._parse(slices.take())
        if not slices.data:
            reading.release()
            return
        reading.hold()
        if self._may_feed():
            self.feed_later()

    def feed_later(self) -> None:
        """Feed held bytes in the next turn of the loop; the other connections come first."""
        if self.slices.data and self._turn is None:
            self._turn = self._loop.call_soon(self._next_turn)

    def stop(self) -> None:
        """Drop all bytes."""
        self.slices.clear()
        if self._turn is not None:
            self._turn.cancel()

    def _next_turn(self) -> None:
        self._turn = None
        try:
            self.feed()
        except Exception as error:
            self._break_connection(error)
