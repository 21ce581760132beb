"""Feeds the parser of one connection with received bytes, a little in each of its turns."""

from collections.abc import Callable

from tailfuse_service.http.flow import ReadControl
from tailfuse_service.http.slices import Slices
from tailfuse_service.http.turns import Turns

# Of one connection in one turn of the loop. A request has two, its head and its body; blank lines before it
# and an offer of an upgrade are one more each.
MAX_SLICES_PER_TURN = 4


class Feeder:
    """Holds received bytes until the parser may have them; the socket is not read meanwhile.

    `may_feed` says whether the next bytes belong to the request whose turn it is. `break_connection`
    is called with what `parse` raises.
    """

    __slots__ = ("_address", "_break_connection", "_may_feed", "_parse", "_reading", "_turns", "slices")

    def __init__(
        self,
        turns: Turns,
        *,
        parse: Callable[[bytes], None],
        may_feed: Callable[[], bool],
        break_connection: Callable[[Exception], None],
    ) -> None:
        self._turns = turns
        self._address = ""
        self._parse = parse
        self._may_feed = may_feed
        self._break_connection = break_connection
        self._reading: ReadControl | None = None
        self.slices = Slices()

    def control(self, reading: ReadControl, address: str) -> None:
        """Pause and continue reading by this; take turns as a connection of this address."""
        self._reading = reading
        self._address = address

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
        """Feed held bytes in the next turn of this connection; the others come first."""
        if self.slices.data:
            self._turns.ask(self._address, self._next_turn)

    def stop(self) -> None:
        """Drop all bytes."""
        self.slices.clear()
        self._turns.withdraw(self._address, self._next_turn)

    def _next_turn(self) -> None:
        try:
            self.feed()
        except Exception as error:
            self._break_connection(error)
