"""Attacks by connections: pipelines, slow readers, halves, and what is no HTTP."""

import asyncio
import time
from collections import Counter

from tests.support.attacks.target import (
    HONEST_KEY,
    PAUSE_S,
    Attack,
    Streams,
    Target,
    connect,
    repeat,
    send_and_note,
    write_request,
)

PIPELINE = 200  # requests in one write


async def pipelined_upgrades(target: Target, end: float, seen: Counter[str]) -> None:
    """Point 1: the parser stops after each offer of an upgrade."""
    upgrade = write_request(more="Upgrade: h2c\r\nConnection: Upgrade\r\n")
    await repeat(target, end, seen, upgrade * PIPELINE)


async def refused_pipelines(target: Target, end: float, seen: Counter[str]) -> None:
    """Point 2: requests that are refused at once, and answers that are read."""
    await pour(target, end, seen, write_request(key=None), reads=True)


async def refused_pipelines_not_read(target: Target, end: float, seen: Counter[str]) -> None:
    """Point 2: the same, and nothing is read."""
    await pour(target, end, seen, write_request(), reads=False)


async def pour(target: Target, end: float, seen: Counter[str], request: bytes, *, reads: bool) -> None:
    """Send pipelines as fast as the service takes them, each connection for two seconds."""
    while time.monotonic() < end:
        async with connect(target) as (reader, writer):
            until = min(end, time.monotonic() + 2)
            try:
                while time.monotonic() < until:
                    writer.write(request * PIPELINE)
                    await asyncio.wait_for(writer.drain(), 0.5)
                    seen["sent"] += PIPELINE
                    if reads:
                        await asyncio.wait_for(reader.read(2**20), 0.5)
                    await asyncio.sleep(PAUSE_S)
            except (OSError, TimeoutError):
                seen["held back or closed"] += 1
        await asyncio.sleep(PAUSE_S)


async def slow_readers(target: Target, end: float, seen: Counter[str]) -> None:
    """Point 3: the client asks for long answers and does not read them."""
    asked = write_request(method="GET", path="/metrics") + write_request(method="GET", path="/openapi.json")
    while time.monotonic() < end:
        async with connect(target, limit=1) as (_, writer):
            writer.write(asked * 40)
            seen["asked"] += 80
            await asyncio.sleep(min(5.0, max(0.0, end - time.monotonic())))


async def half_sent_bodies(target: Target, end: float, seen: Counter[str]) -> None:
    """Point 5: a large body stops before its end."""
    head = write_request(b"x" * 8_000_000)[:-8_000_000]
    while time.monotonic() < end:
        async with connect(target) as (reader, writer):
            try:
                writer.write(head)
                for _ in range(60):
                    writer.write(b" " * 100_000)
                    await asyncio.wait_for(writer.drain(), 1)
                await asyncio.sleep(min(10.0, max(0.0, end - time.monotonic())))
                seen["held"] += 1
            except (OSError, TimeoutError):
                seen["refused"] += 1
            del reader
        await asyncio.sleep(PAUSE_S)


async def keyless_pipelines(target: Target, end: float, seen: Counter[str]) -> None:
    """Point 9: bodies without a key."""
    await repeat(target, end, seen, write_request(b"x" * 1000, key=None) * 60)


async def malformed_requests(target: Target, end: float, seen: Counter[str]) -> None:
    """Point 17: chunks, hosts, heads and rubbish."""
    good = write_request(b'{"inputs": {"notes": "spot"}}')
    forms = (
        write_request(more="Transfer-Encoding: chunked\r\n") + b"zz\r\nabc\r\n",
        good.replace(b"Host: x\r\n", b""),
        good.replace(b"Host: x\r\n", b"Host: x\r\nHost: y\r\n"),
        write_request(more="X-Long: " + "a" * 70_000 + "\r\n"),
        good + b"\x00\x01 rubbish\r\n\r\n",
        b"\x16\x03\x01\x02\x00" + good,
    )
    at = 0
    while time.monotonic() < end:
        await send_and_note(target, forms[at % len(forms)], seen)
        at += 1
        await asyncio.sleep(PAUSE_S)


async def idle_connections(target: Target, end: float, seen: Counter[str]) -> None:
    """Point 16: many connections of one address that say nothing."""
    held: list[Streams] = []
    try:
        while time.monotonic() < end and len(held) < 150:
            held.append(await asyncio.open_connection(*target.address))
            seen["opened"] += 1
            await asyncio.sleep(PAUSE_S)
        await asyncio.sleep(max(0.0, end - time.monotonic()))
    finally:
        for _, writer in held:
            writer.transport.abort()


async def scrapes(target: Target, end: float, seen: Counter[str]) -> None:
    """Point 13: metrics are asked for all the time."""
    await repeat(target, end, seen, write_request(method="GET", path="/metrics", key=HONEST_KEY), 0.1)


ATTACKS: tuple[Attack, ...] = (
    pipelined_upgrades, refused_pipelines, refused_pipelines_not_read, slow_readers, half_sent_bodies,
    keyless_pipelines, malformed_requests, idle_connections, scrapes,
)  # fmt: skip
