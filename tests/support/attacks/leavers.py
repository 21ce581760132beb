"""Clients that begin a request and do not end it, or do not wait for its answer."""

import asyncio

from tests.support.attacks.attack import Record, Target, attack
from tests.support.attacks.wires import connect, post_with_key
from tests.support.hostile.wire import head

PREDICTION = b'{"inputs":{"notes":"an itching mole"}}'


@attack("clients that leave", point=7, every_s=0.1)
async def leave(target: Target, record: Record) -> None:
    """In the middle of a request, after it, and in the middle of a pipeline."""
    whole = post_with_key(target, PREDICTION)
    pipeline = (head("GET", "/model", x_api_key=target.key) + post_with_key(target, b"{") + whole) * 5
    for begun in (b"", whole[: len(whole) // 2], whole, pipeline):
        async with connect(target, record) as line:
            await line.send(begun)
            await asyncio.sleep(0.01)


@attack("dripping clients", point=20, every_s=0.1, n_callers=8)
async def drip(target: Target, record: Record) -> None:
    """One byte at a time."""
    whole = post_with_key(target, PREDICTION)
    async with connect(target, record) as line:
        for at in range(len(whole)):
            await line.send(whole[at : at + 1])
            await asyncio.sleep(0.02)
        await line.read(1, 10.0)
