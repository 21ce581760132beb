"""A connection whose request is refused before it has arrived: the client sends on, and shall see the answer.

To close at once would reset the connection, and most clients then report the reset in place of the answer.
"""

import asyncio

LINGER_S = 2.0


class Lingering(asyncio.Protocol):
    """Drops what arrives, and closes when the client has stopped sending, or after LINGER_S."""

    def __init__(
        self, connection: asyncio.Protocol, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop
    ) -> None:
        self._connection = connection
        self._timer = loop.call_later(LINGER_S, transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        self._timer.cancel()
        self._connection.connection_lost(exc)


def linger(
    connection: asyncio.Protocol, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop
) -> None:
    """Take over the transport of a connection whose last answer is written."""
    transport.set_protocol(Lingering(connection, transport, loop))
    transport.resume_reading()
    if transport.can_write_eof():
        transport.write_eof()
