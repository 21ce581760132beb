"""What a bundle that takes the place of another is asked, and what it answers by itself."""

import asyncio
import json
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from tailfuse_service.bundle import Bundle
from tailfuse_service.bundle.answer import Prediction, make_predictions
from tailfuse_service.http import off_loop
from tailfuse_service.http.router import Router

T = TypeVar("T")

INPUTS: dict[str, Any] = {"clinical": {"age": 61, "pulse": 80, "smoker": False, "site": "face"}}
BODY = json.dumps({"inputs": INPUTS}).encode()
LONG_TEXT = "word " * (off_loop.INLINE_BYTES // 4)  # a body with it is read by a thread


def own_answer(bundle: Bundle) -> Prediction:
    """What a bundle itself says about the inputs."""
    sample = bundle.sample(INPUTS)
    presence = bundle.collate([sample]).presence
    return make_predictions(bundle.run([sample]), presence, bundle.manifest.class_names)[0]


async def post(app: Router, path: str, body: bytes, query: bytes = b"") -> tuple[int, Any]:
    """Send a request whose client stays connected. Return the status and the document of its answer."""
    sent: list[Any] = []
    arriving = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Any:
        if not arriving:
            await asyncio.Event().wait()
        return arriving.pop()

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": path, "query_string": query, "headers": []}
    await app(scope, receive, send)
    return sent[0]["status"], json.loads(b"".join(each.get("body", b"") for each in sent))


async def answer_across(change: Callable[[], Any], request: Coroutine[Any, Any, T]) -> T:
    """Start a request, call `change` while its large body waits to be read, and return the answer."""
    pool, begun, released = off_loop._pool, threading.Event(), threading.Event()

    def hold() -> None:
        begun.set()
        released.wait(30)

    pool.submit(hold)
    try:
        await asyncio.to_thread(begun.wait, 30)
        task = asyncio.create_task(request)
        async with asyncio.timeout(30):
            while not pool._work_queue.qsize():
                await asyncio.sleep(0.001)
        change()
        await take_turns()
    finally:
        released.set()
    return await task


async def take_turns() -> None:
    """Let all tasks run until they wait: an engine without samples has closed by then."""
    for _ in range(10):
        await asyncio.sleep(0)
