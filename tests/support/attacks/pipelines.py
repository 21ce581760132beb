"""Requests that do not wait for the answer to the one before."""

import asyncio
from contextlib import suppress

from tests.support.attacks.attack import Record, Target, attack
from tests.support.attacks.wires import connect
from tests.support.hostile.wire import head, post

N_REFUSED = 1000
UPGRADE = post(b"", upgrade="h", connection="upgrade")


@attack("upgrades", point=1, every_s=0.2)
async def pipeline_upgrades(target: Target, record: Record) -> None:
    """More offers of an upgrade in one read than Python's stack is deep."""
    async with connect(target, record) as line:
        await line.ask(UPGRADE * 500, n_answers=500, seconds=2)


@attack("refused requests, read", point=2, every_s=0.2)
async def pipeline_refused(target: Target, record: Record) -> None:
    """Without a key and without a body each is refused at once."""
    async with connect(target, record) as line:
        await line.ask(post(b"") * N_REFUSED, n_answers=N_REFUSED)


@attack("refused requests, not read", point=2, every_s=0.2)
async def pipeline_refused_unread(target: Target, record: Record) -> None:
    async with connect(target, record, reads=False) as line:
        with suppress(TimeoutError):
            async with asyncio.timeout(2):
                await line.send(post(b"") * 20 * N_REFUSED)


@attack("pipelines without a key", point=9, every_s=0.5, n_callers=2)
async def pipeline_without_key(target: Target, record: Record) -> None:
    """260 KB of requests, as fast as the service takes them."""
    async with connect(target, record) as line:
        await line.ask(b"GET /x HTTP/1.1\r\nhost: x\r\n\r\n" * 10_000, n_answers=10_000, seconds=3)


@attack("log flood", point=10, every_s=0.2)
async def flood_log(target: Target, record: Record) -> None:
    """Each problem is logged, with the path that the client chose."""
    async with connect(target, record) as line:
        noise = b"".join(head("GET", f"/{number}{'x' * 700}") for number in range(100))
        await line.ask(noise, n_answers=100)
