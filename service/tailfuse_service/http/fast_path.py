"""The fast path: a simple POST /predict is answered here, without a task, scope or middleware.

All other requests are uvicorn's: chunked, compressed or long bodies, an Expect or an Origin header.
"""

import asyncio
from asyncio import Future
from collections.abc import Callable
from functools import partial
from typing import Any

from tailfuse_service.http.answers import JSON, format_problem
from tailfuse_service.http.cycle import RequestCycle
from tailfuse_service.http.router import CLIENT_CLOSED, Router
from tailfuse_service.http.routes.predict import encode_answer

# Of a request, an answer's status, its own header lines and its body.
SendAnswer = Callable[[RequestCycle, int, bytes, bytes], None]


class FastPath:
    """The requests of one connection that are answered here; no more than one at a time.

    `send` writes an answer, and `break_connection` is told of what nobody expects.
    """

    __slots__ = ("_answering", "_break_connection", "_loop", "_router", "_send", "arriving")

    def __init__(
        self,
        router: Router,
        loop: asyncio.AbstractEventLoop,
        *,
        send: SendAnswer,
        break_connection: Callable[[Exception], None],
    ) -> None:
        self._router = router
        self._loop = loop
        self._send = send
        self._break_connection = break_connection
        self._answering: RequestCycle | None = None
        self.arriving: RequestCycle | None = None  # its body is being received

    def submit(self, cycle: RequestCycle) -> None:
        """Submit a complete request, or answer that it is refused."""
        self._answering = cycle
        router = self._router
        try:
            router.begin_request(cycle)
            engine = router.registry.find(headers=cycle.scope["headers"])
            body = cycle.body[0] if len(cycle.body) == 1 else b"".join(cycle.body)
            cycle.pending = router.predict.submit(engine, cycle.content_type, cycle.query, body)
        except Exception as error:
            # In the next turn of the loop, so that a long pipeline does not delay other connections.
            self._loop.call_soon(self._finish, cycle, error)
        else:
            cycle.pending.prediction.add_done_callback(partial(self._finish_prediction, cycle))

    def abandon(self) -> None:
        """Withdraw the request that is being answered; its client is gone."""
        cycle, self._answering = self._answering, None
        if cycle is None:
            return
        try:
            if cycle.pending is not None:
                cycle.pending.withdraw()
        finally:
            self._router.end_request(cycle, CLIENT_CLOSED)

    def _finish_prediction(self, cycle: RequestCycle, prediction: Future[Any]) -> None:
        self._finish(cycle, asyncio.CancelledError() if prediction.cancelled() else prediction.exception())

    def _finish(self, cycle: RequestCycle, error: BaseException | None) -> None:
        """Answer, unless the connection is closed."""
        if self._answering is not cycle:
            return
        try:
            if error is None:
                assert cycle.pending is not None
                answer = 200, JSON, encode_answer(cycle.pending, cycle.scope["request_id"])
            else:
                answer = format_problem(error, cycle.scope, self._router.metrics)
            status = answer[0]
            self._send(cycle, *answer)
            self._answering = None
            self._router.end_request(cycle, status)
        except Exception as unexpected:
            self._break_connection(unexpected)
