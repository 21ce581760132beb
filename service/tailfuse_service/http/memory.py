"""The memory that requests take while they are received, parsed and answered.

What does not fit is refused with 429. A request that has been arriving for long gives way to a new one, so
that whoever sends many halves of bodies keeps nobody else out.
"""

import threading
from typing import Protocol

from tailfuse_service.errors import Overloaded, PayloadTooLarge
from tailfuse_service.http.asgi import Scope
from tailfuse_service.modalities.json_text import MAX_MARKS, count_marks

MIN_COUNTED = 16 * 1024  # bytes; a shorter body is not counted: as many as may be in flight take little
MAX_CANDIDATES = 32  # connections that are asked to give way; more would be work that an attacker chooses
MIN_AGE_S = 1.0  # of a request that gives way
# Bytes of memory for each of a body's while it is read: the strings and the decoded base64. A text with a
# character beyond Latin-1, or with an escape that may be one, has four bytes for each character.
READ_FACTOR, WIDE_FACTOR = 2, 5
ANSWER_BYTES = 200  # of one class of one answer, as objects and as text
VALUE_BYTES = 96  # of a small list, or of a number in it
FLAT_BYTES = 256 * 1024  # a shorter body is not looked at
FLAT_FACTOR = 3


class Receiving(Protocol):
    """A connection that receives a request."""

    def get_receiving_since(self) -> float | None: ...

    def give_way(self) -> None: ...


class RequestMemory:
    """Bytes that are held for requests. Without a limit nothing is refused. Used by several threads."""

    def __init__(self) -> None:
        self.limit: int | None = None
        self.held = 0
        self.lock = threading.Lock()
        # Connections that hold bytes, in the order of their first.
        self.receiving: dict[Receiving, None] = {}

    def take(self, n_bytes: int) -> None:
        """Hold bytes; the caller has the lock. Raises Overloaded; PayloadTooLarge if they can never fit."""
        if self.limit is not None and n_bytes > self.limit:
            raise PayloadTooLarge(
                f"the body takes {n_bytes:,} bytes of memory; there are {self.limit:,} for requests",
                expected=self.limit, received=n_bytes,
            )  # fmt: skip
        if self.limit is not None and self.held + n_bytes > self.limit:
            raise make_overloaded()
        self.held += n_bytes

    def make_room(self, newcomer: Receiving, n_bytes: int, now: float) -> None:
        """Let requests that have been arriving for long give way, the oldest first, until there is room.

        Only from the event loop's thread.
        """
        for each in list(self.receiving)[:MAX_CANDIDATES]:
            if self.limit is None or self.held + n_bytes <= self.limit:
                return
            since = each.get_receiving_since()
            if each is not newcomer and since is not None and now - since >= MIN_AGE_S:
                each.give_way()


class Hold:
    """Memory that is held for one request, or for the bytes that one connection has received.

    A thread may read a body whose client has gone: once it is closed, a hold takes nothing more.
    """

    __slots__ = ("_connection", "_is_closed", "_memory", "n_bytes")

    def __init__(self, memory: RequestMemory, connection: Receiving | None = None) -> None:
        self._memory = memory
        self._connection = connection
        self._is_closed = False
        self.n_bytes = 0

    def take(self, n_bytes: int) -> None:
        """Hold more bytes. Raises Overloaded, PayloadTooLarge."""
        with self._memory.lock:
            if self._is_closed:
                raise make_overloaded()
            self._memory.take(n_bytes)
            self.n_bytes += n_bytes

    def receive(self, n_bytes: int, now: float) -> None:
        """Hold bytes that the connection has received; others may have to give way. Raises as `take`."""
        assert self._connection is not None
        self._memory.receiving[self._connection] = None
        try:
            self.take(n_bytes)
        except Overloaded:
            self._memory.make_room(self._connection, n_bytes, now)
            self.take(n_bytes)

    def keep(self, n_bytes: int) -> None:
        """Give back all but so many bytes, if there are more."""
        with self._memory.lock:
            if self.n_bytes > n_bytes:
                self._memory.held -= self.n_bytes - n_bytes
                self.n_bytes = n_bytes
        if not self.n_bytes and self._connection is not None:
            self._memory.receiving.pop(self._connection, None)

    def close(self) -> None:
        """Give back everything, for good."""
        self._is_closed = True
        self.keep(0)


def make_overloaded() -> Overloaded:
    """Return the error of a request for which there is no memory now."""
    return Overloaded("there is no memory for more requests; try again soon", retry_after_s=1)


def get_hold(scope: Scope) -> Hold:
    """Return the hold of a request; one that counts nowhere if the router has not seen the request."""
    hold: Hold | None = scope.get("hold")
    return hold or Hold(RequestMemory())


def estimate_read_bytes(body: bytes) -> int:
    """Estimate how many bytes of memory the values of a JSON body take, beside the body. Not for the loop."""
    if len(body) <= FLAT_BYTES:
        return FLAT_FACTOR * len(body)
    is_wide = not body.isascii() or (b"\\" in body and b"\\u" in body)
    n_values = count_marks(body, b",[{", MAX_MARKS)
    if n_values > MAX_MARKS:
        n_values = sum(map(body.count, (b",", b"[", b"{")))
    return (WIDE_FACTOR if is_wide else READ_FACTOR) * len(body) + VALUE_BYTES * n_values
