"""A gRPC call whose message never ends, in frames of HTTP/2 (RFC 9113): clients send whole messages only."""

import asyncio
import struct
import time
from asyncio import StreamReader, StreamWriter

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RESET, SETTINGS, PING, GOAWAY, WINDOW = 0, 1, 3, 4, 6, 7, 8
ACK = END_STREAM = 1
END_HEADERS = 4
INITIAL_WINDOW = 4  # the setting
FRAME_BYTES = 16 * 1024
STREAM = 1


def make_frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload))[1:] + bytes((kind, flags)) + struct.pack(">I", stream) + payload


def make_head(path: str) -> bytes:
    """A call's head; each header is a literal that is in no table."""
    headers = {
        ":method": "POST", ":scheme": "http", ":path": path, ":authority": "a",
        "content-type": "application/grpc", "te": "trailers",
    }  # fmt: skip
    block = b"".join(
        b"\0" + bytes((len(name),)) + name.encode() + bytes((len(value),)) + value.encode()
        for name, value in headers.items()
    )
    return make_frame(HEADERS, END_HEADERS, STREAM, block)


class HalfMessage:
    """One connection with one call, whose message lacks its last bytes."""

    def __init__(self, reader: StreamReader, writer: StreamWriter, path: str, n_bytes: int) -> None:
        self._reader, self._writer = reader, writer
        self._windows = {0: 65_535, STREAM: 65_535}  # what may be sent: on the connection, and of the call
        self._initial = 65_535
        self._prefix = b"\0" + struct.pack(">I", n_bytes)
        self._left = n_bytes - 10
        writer.write(PREFACE + make_frame(SETTINGS, 0, 0, b"") + make_head(path))

    async def send(self, end: float) -> None:
        """Send as fast as the service reads, then wait until it refuses the call, or until `end`."""
        while True:
            n_now = min(*self._windows.values(), FRAME_BYTES - len(self._prefix), self._left)
            if n_now > 0:
                self._send_data(self._prefix + b" " * n_now)
                self._prefix = b""
                self._left -= n_now
                await asyncio.wait_for(self._writer.drain(), 5)
            elif await asyncio.wait_for(self._read_frame(), max(0.0, end - time.monotonic())):
                return

    def _send_data(self, payload: bytes) -> None:
        self._writer.write(make_frame(DATA, 0, STREAM, payload))
        for each in self._windows:
            self._windows[each] -= len(payload)

    async def _read_frame(self) -> bool:
        """Read a frame and do as it says. Return whether the call has ended."""
        head = await self._reader.readexactly(9)
        payload = await self._reader.readexactly(int.from_bytes(head[:3], "big"))
        kind, flags, stream = head[3], head[4], int.from_bytes(head[5:], "big")
        if kind == WINDOW:
            self._windows[stream] = self._windows.get(stream, 0) + int.from_bytes(payload, "big")
        elif kind in (SETTINGS, PING) and not flags & ACK:
            if kind == SETTINGS:
                for at in range(0, len(payload), 6):
                    name, value = struct.unpack(">HI", payload[at : at + 6])
                    if name == INITIAL_WINDOW:
                        self._windows[STREAM] += value - self._initial
                        self._initial = value
            self._writer.write(make_frame(kind, ACK, 0, b"" if kind == SETTINGS else payload))
        return kind in (RESET, GOAWAY) or (kind == HEADERS and bool(flags & END_STREAM))


async def send_half_messages(address: tuple[str, int], path: str, n_bytes: int, end: float) -> int:
    """Send half a message again and again. Return how often the service refused."""
    n_refused = 0
    while time.monotonic() < end:
        reader, writer = await asyncio.open_connection(*address)
        try:
            await HalfMessage(reader, writer, path, n_bytes).send(end)
            n_refused += 1
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.transport.abort()
        await asyncio.sleep(0.05)
    return n_refused
