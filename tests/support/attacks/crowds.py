"""One client that wants all places for itself: by its address, and by its key."""

import asyncio
from contextlib import AsyncExitStack

from tests.support.attacks.attack import Record, Target, attack
from tests.support.attacks.wires import connect, post_with_key
from tests.support.hostile.wire import head

N_CONNECTIONS = 300
N_PIPELINED = 50
HOLD_S = 2.0


@attack("many connections from one address", point=16, every_s=2.0)
async def open_many(target: Target, record: Record) -> None:
    async with AsyncExitStack() as stack:
        lines = [await stack.enter_async_context(connect(target, record)) for _ in range(N_CONNECTIONS)]
        await asyncio.gather(*(line.read(1, HOLD_S) for line in lines))


@attack("half heads", point=16, every_s=2.0)
async def send_half_heads(target: Target, record: Record) -> None:
    async with AsyncExitStack() as stack:
        lines = [await stack.enter_async_context(connect(target, record)) for _ in range(60)]
        await asyncio.gather(*(line.ask(head()[:-2] + b"x: ", seconds=HOLD_S) for line in lines))


@attack("a flooding key", point=16, every_s=0.1, n_callers=16)
async def flood_with_key(target: Target, record: Record) -> None:
    """Valid requests with one key on many connections, each pipelined."""
    async with connect(target, record) as line:
        asked = post_with_key(target, b'{"inputs":{"notes":"a flood"}}')
        await line.ask(asked * N_PIPELINED, n_answers=N_PIPELINED)
