"""Small ASGI helpers: read a body, send JSON, and notice that the client disconnects."""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from types import TracebackType
from typing import Any

from tailfuse_service.errors import PayloadTooLarge

Message = MutableMapping[str, Any]
Headers = list[tuple[bytes, bytes]]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

# Watching for a disconnect costs a task, so only requests that wait longer than this are watched.
WATCH_AFTER_S = 0.05


class ClientDisconnected(Exception):
    """The client has disconnected and gets no answer."""


def header(scope: Scope, name: bytes) -> str | None:
    """Return the first header of this lower-case name."""
    for key, value in scope["headers"]:
        if key == name:
            return bytes(value).decode("latin-1")
    return None


async def read_body(scope: Scope, receive: Receive, max_bytes: int) -> bytes:
    """Return the whole body. Raises PayloadTooLarge as early as possible, and ClientDisconnected."""
    declared = header(scope, b"content-length")
    if declared is not None and declared.isdecimal() and int(declared) > max_bytes:
        raise make_too_large(max_bytes)
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnected
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > max_bytes:
            raise make_too_large(max_bytes)
        chunks.append(chunk)
        if not message.get("more_body", False):
            return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def make_too_large(max_bytes: int) -> PayloadTooLarge:
    """Return the error of a body above the limit."""
    return PayloadTooLarge(f"the body is longer than {max_bytes} bytes", expected=max_bytes)


async def send_json(send: Send, body: bytes) -> None:
    """Send a complete response with status 200."""
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class WhileConnected:
    """A context that cancels its block when the client disconnects, and raises ClientDisconnected."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._watcher: asyncio.Task[None] | None = None
        self._disconnected = False

    async def __aenter__(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._timer = asyncio.get_running_loop().call_later(WATCH_AFTER_S, self._start)

    def _start(self) -> None:
        self._watcher = asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        if (await self._receive())["type"] == "http.disconnect":
            self._disconnected = True
            self._task.cancel()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        if self._watcher is not None:
            self._watcher.cancel()
        if self._disconnected and kind is asyncio.CancelledError:
            self._task.uncancel()
            raise ClientDisconnected from error
