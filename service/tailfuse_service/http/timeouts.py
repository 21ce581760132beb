"""The three deadlines of a connection, with one timer.

A timer for each request would cost more than its parsing. This one fires at the earliest deadline that is
known, and no later than the shortest limit, so that no deadline which begins in between can be missed.
"""

import asyncio
from collections.abc import Callable
from enum import Enum

from tailfuse_service.errors import ReceiveTimeout


class Deadline(Enum):
    """The stages that a connection can be late with."""

    RECEIVE = "a request that is not complete"
    SEND = "an answer that the client does not read"
    IDLE = "a connection without a request"


class Timeouts:
    """Calls `expired` when a deadline has passed, and again later if the connection is still open.

    The connection writes the start of each wait here. `is_idle` says whether no request is being answered.
    """

    __slots__ = (
        "_expired", "_is_idle", "_limits", "_loop", "_shortest", "_timer", "_transport", "idle_since",
        "receiving_since", "sending_since",
    )  # fmt: skip

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        receive_s: float,
        send_s: float,
        idle_s: float,
        *,
        is_idle: Callable[[], bool],
        expired: Callable[[Deadline], None],
    ) -> None:
        self._loop = loop
        self._limits = {Deadline.RECEIVE: receive_s, Deadline.SEND: send_s, Deadline.IDLE: idle_s}
        self._shortest = min(self._limits.values())
        self._is_idle = is_idle
        self._expired = expired
        self._transport: asyncio.Transport | None = None
        self.receiving_since: float | None = None  # since a request has begun to arrive
        self.sending_since: float | None = None  # since the transport's buffer is full, or is to be closed
        self.idle_since = loop.time()
        self._timer = loop.call_later(self._shortest, self._check)

    def watch(self, transport: asyncio.Transport) -> None:
        """Watch also for a transport that is closing: it stays open until the client has read all."""
        self._transport = transport

    def cancel(self) -> None:
        """Stop the timer."""
        self._timer.cancel()

    def limit(self, seconds: float) -> None:
        """Shorten all limits to this; each wait has at least that long from now on."""
        now = self._loop.time()
        self._limits = {deadline: min(limit, seconds) for deadline, limit in self._limits.items()}
        self._shortest = min(self._limits.values())
        if self.receiving_since is not None:
            self.receiving_since = now
        if self.sending_since is not None:
            self.sending_since = now
        self._timer.cancel()
        self._timer = self._loop.call_later(self._shortest, self._check)

    def _check(self) -> None:
        now = self._loop.time()
        if self._transport is not None and self._transport.is_closing() and self.sending_since is None:
            self.sending_since = now
        left, late = self._shortest, None
        for deadline, since in self._waits():
            remaining = since + self._limits[deadline] - now
            if remaining < left:
                left, late = remaining, deadline
        # A request may wait for a free turn of the loop: it is not refused, but looked at again later.
        self._timer = self._loop.call_later(left if left > 0 else self._shortest, self._check)
        if late is not None and left <= 0:
            self._expired(late)

    def _waits(self) -> list[tuple[Deadline, float]]:
        """Return what the connection waits for now, and since when."""
        waits = []
        if self.receiving_since is not None:
            waits.append((Deadline.RECEIVE, self.receiving_since))
        if self.sending_since is not None:
            waits.append((Deadline.SEND, self.sending_since))
        if self.receiving_since is None and self._is_idle():
            waits.append((Deadline.IDLE, self.idle_since))
        return waits


def make_receive_timeout(limit: float) -> ReceiveTimeout:
    """Return the error of a request that is received too slowly."""
    return ReceiveTimeout(f"the request has not arrived within {limit:g} s", expected=limit)
