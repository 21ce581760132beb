"""Clients that ask for long answers and do not read them."""

import asyncio
from contextlib import AsyncExitStack, suppress

from tests.support.attacks.attack import Record, Target, attack
from tests.support.attacks.wires import connect
from tests.support.hostile.wire import head

HOLD_S = 4.0


async def hold_unread(target: Target, record: Record, request: bytes, n_connections: int) -> None:
    """Pipeline a request on so many connections, and hold them open without reading."""
    async with AsyncExitStack() as stack, asyncio.TaskGroup() as group:
        for _ in range(n_connections):
            line = await stack.enter_async_context(connect(target, record, reads=False))
            group.create_task(send_for(line.send(request * 120), HOLD_S))
        await asyncio.sleep(HOLD_S)


async def send_for(sending: "asyncio.Future[None] | object", seconds: float) -> None:
    with suppress(TimeoutError, OSError):
        async with asyncio.timeout(seconds):
            await sending  # type: ignore[misc]


@attack("slow readers of /metrics", point=3, every_s=1.0)
async def read_metrics_slowly(target: Target, record: Record) -> None:
    await hold_unread(target, record, head("GET", "/metrics"), 17)


@attack("slow readers of other routes", point=3, every_s=1.0)
async def read_routes_slowly(target: Target, record: Record) -> None:
    """These are answered by the application, not by the fast path."""
    routes = ("/openapi.json", "/docs", "/models", "/model", "/v2")
    asked = b"".join(head("GET", route, x_api_key=target.key) for route in routes)
    await hold_unread(target, record, asked, 8)


@attack("scrapes", point=13, every_s=0.1)
async def scrape(target: Target, record: Record) -> None:
    async with connect(target, record) as line:
        await line.ask(head("GET", "/metrics"))
