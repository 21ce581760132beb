"""A connection whose transport is in memory, and the bytes that are sent on it."""

import asyncio
import re
from typing import Any

from tailfuse_service.http.connection import Protocol
from tailfuse_service.http.router import Router
from uvicorn import Config
from uvicorn.server import ServerState

BODY = b'{"inputs": {"notes": "spot"}}'
KEY = "0123456789abcdef"


def request(body: bytes = BODY, *lines: bytes, target: bytes = b"/predict", method: bytes = b"POST") -> bytes:
    """Return a request, with further lines of its head."""
    head = b"\r\n".join([b"%s %s HTTP/1.1" % (method, target), b"host: x", *lines])
    return head + b"\r\ncontent-length: %d\r\n\r\n" % len(body) + body


GOOD = request()
REFUSED = request(b"")
CHUNKED = b"POST /predict HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
UPGRADE = (
    b"POST /predict HTTP/1.1\r\nHost: x\r\nUpgrade: h\r\nConnection: upgrade\r\nContent-Length: 0\r\n\r\n"
)


class Wire(asyncio.Transport):
    """A transport in memory: what was written, and whether the protocol wants to read."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.reads = True
        self.closed = self.aborted = self.ended = False
        self.protocol: asyncio.BaseProtocol | None = None

    def write(self, data: Any) -> None:
        self.written += bytes(data)

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def get_write_buffer_size(self) -> int:
        return 0

    def abort(self) -> None:
        self.closed = self.aborted = True

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.ended = True

    def pause_reading(self) -> None:
        self.reads = False

    def resume_reading(self) -> None:
        self.reads = True

    @property
    def answers(self) -> int:
        return self.written.count(b"HTTP/1.1 ")


class Connection:
    """A protocol on such a transport."""

    def __init__(self, app: Router) -> None:
        self.app = app
        self.protocol = Protocol(Config(app, lifespan="off"), ServerState(), {})
        self.wire = Wire()
        self.protocol.connection_made(self.wire)

    def send(self, data: bytes) -> None:
        """Let the protocol receive it, as the loop would: not while it does not want to read."""
        assert self.wire.reads
        if not self.wire.closed:
            self.protocol.data_received(data)

    async def idle(self) -> None:
        """Wait until nothing more is written and nothing is in flight."""
        quiet, before = 0, -1
        for _ in range(20_000):
            await asyncio.sleep(0.001 if self.app.in_flight else 0)
            quiet = quiet + 1 if len(self.wire.written) == before and not self.app.in_flight else 0
            before = len(self.wire.written)
            if quiet > 50:
                return
        raise AssertionError("the connection does not come to rest")

    def lose(self) -> None:
        self.protocol.connection_lost(None)


def statuses(connection: Connection) -> list[bytes]:
    """Return the status of each answer that was written."""
    return re.findall(rb"HTTP/1.1 ([0-9]{3}) ", connection.wire.written)
