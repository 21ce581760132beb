"""An attacker's connection: from an address of its own, and read as fast or as slowly as the attack wants."""

import asyncio
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from tests.support.attacks.attack import Record, Target
from tests.support.hostile.wire import post

STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")
MAX_STATUS_BYTES = 13  # of the expression above
SMALL_BUFFER = 2048  # of a client that reads slowly
PIECE = 64 * 1024


@dataclass(slots=True)
class Line:
    """A connection, and where the statuses of its answers are counted."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    record: Record

    async def send(self, data: bytes) -> None:
        """Send all of it; the service may stop reading, so the caller sets a limit of time."""
        for at in range(0, len(data), PIECE):
            self.writer.write(data[at : at + PIECE])
            await self.writer.drain()

    async def read(self, n_answers: int, seconds: float) -> None:
        """Count the statuses until there are so many, the service closes, or the time has passed."""
        rest, n_read = b"", 0
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while n_read < n_answers:
                    data = await self.reader.read(PIECE)
                    if not data:
                        self.record["closed by the service"] += 1
                        return
                    rest += data
                    last = 0
                    for found in STATUS.finditer(rest):
                        self.record[found[1].decode()] += 1
                        n_read, last = n_read + 1, found.end()
                    rest = rest[max(last, len(rest) - MAX_STATUS_BYTES + 1) :]

    async def ask(self, data: bytes, *, n_answers: int = 1, seconds: float = 10.0) -> None:
        """Send while reading: a service that waits for its client would stop both otherwise."""
        sending = asyncio.create_task(self.send(data))
        try:
            await self.read(n_answers, seconds)
        finally:
            sending.cancel()
            with suppress(asyncio.CancelledError, OSError):
                await sending


@asynccontextmanager
async def connect(target: Target, record: Record, *, reads: bool = True) -> AsyncIterator[Line]:
    """Open a connection, and abort it at the end. Without `reads` nothing is taken from the socket."""
    caller = socket.socket()
    try:
        caller.setblocking(False)
        if not reads:
            caller.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER)
        caller.bind((target.source, 0))
        await asyncio.get_running_loop().sock_connect(caller, target.address)
        reader, writer = await asyncio.open_connection(sock=caller)
    except BaseException:
        caller.close()
        raise
    if not reads:
        writer.transport.pause_reading()  # type: ignore[attr-defined]
    record["connections"] += 1
    try:
        yield Line(reader, writer, record)
    finally:
        writer.transport.abort()


def post_with_key(target: Target, body: bytes, path: str = "/predict") -> bytes:
    return post(body, path, x_api_key=target.key, content_type="application/json")
