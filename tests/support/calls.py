"""One call of an ASGI application."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any

BODY = json.dumps({"inputs": {"notes": "spot"}}).encode()


class Call:
    """One request to an application; `hang_up()` is the caller's going away."""

    def __init__(
        self,
        app: Any,
        path: str = "/predict",
        chunks: Sequence[bytes] = (BODY,),
        *,
        unfinished: bool = False,
        **headers: str,
    ) -> None:
        self.taken = 0
        self.sent: list[Any] = []
        self._chunks = [*chunks]
        self._unfinished = unfinished
        self._gone = asyncio.Event()
        scope = {
            "type": "http", "method": "POST", "path": path, "query_string": b"",
            "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()],
        }  # fmt: skip
        self.task = asyncio.create_task(app(scope, self._receive, self._send))

    async def _receive(self) -> Any:
        if self.taken == len(self._chunks):
            await self._gone.wait()
            return {"type": "http.disconnect"}
        self.taken += 1
        more = self.taken < len(self._chunks) or self._unfinished
        return {"type": "http.request", "body": self._chunks[self.taken - 1], "more_body": more}

    async def _send(self, message: Any) -> None:
        self.sent.append(message)

    def hang_up(self) -> None:
        self._gone.set()

    async def status(self) -> int:
        await self.task
        return int(self.sent[0]["status"])

    def problem(self) -> Any:
        return json.loads(self.sent[1]["body"])
