"""What is attacked, and small parts that all attacks use."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

HONEST_KEY, OTHER_KEY = "honest-0123456789abcdef", "attack-0123456789abcdef"
PAUSE_S = 0.02  # between two deeds: the attackers' own CPU time is not to be the measure


@dataclass(frozen=True, slots=True)
class Target:
    """A service with keys that follows a folder of bundles."""

    address: tuple[str, int]
    pid: int
    keys: Path
    bundles: Path


Attack = Callable[[Target, float, Counter[str]], Awaitable[None]]
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def connect(target: Target, limit: int = 2**16) -> AsyncIterator[Streams]:
    """Open a connection, and reset it at the end."""
    reader, writer = await asyncio.open_connection(*target.address, limit=limit)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


def write_request(
    body: bytes = b"",
    path: str = "/predict",
    *,
    method: str = "POST",
    key: str | None = OTHER_KEY,
    more: str = "",
) -> bytes:
    """Write a request; `more` are lines of its head, each with its end."""
    key_line = f"X-API-Key: {key}\r\n" if key else ""
    length = f"Content-Length: {len(body)}\r\n"
    return f"{method} {path} HTTP/1.1\r\nHost: x\r\n{key_line}{length}{more}\r\n".encode() + body


async def send_and_note(
    target: Target, data: bytes, seen: Counter[str], *, wait_s: float = 2.0, limit: int = 2**16
) -> None:
    """Send bytes on a connection of their own, and note the status of the first answer."""
    try:
        async with connect(target, limit) as (reader, writer):
            writer.write(data)
            await asyncio.wait_for(writer.drain(), wait_s)
            line = await asyncio.wait_for(reader.readline(), wait_s)
            seen[line.split()[1].decode() if line.count(b" ") else "closed"] += 1
    except TimeoutError:
        seen["no answer yet"] += 1
    except OSError:
        seen["reset"] += 1


async def repeat(
    target: Target, end: float, seen: Counter[str], data: bytes, pause_s: float = PAUSE_S
) -> None:
    """Send the same bytes again and again."""
    while time.monotonic() < end:
        await send_and_note(target, data, seen)
        await asyncio.sleep(pause_s)
