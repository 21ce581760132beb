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
from tailfuse_service.http.memory import FLAT_FACTOR, MIN_COUNTED, Hold
from tailfuse_service.http.router import CLIENT_CLOSED, Router
from tailfuse_service.http.routes.predict import encode_answer

# Of a request, an answer's status, its own header lines and its body.
SendAnswer = Callable[[RequestCycle, int, bytes, bytes], None]


class FastPath:
    """The requests of one connection that are answered here; no more than one at a time.

    `send` writes an answer, and `break_connection` is told of what nobody expects.
    """

    __slots__ = (
        "_answering", "_break_connection", "_loop", "_receiving", "_router", "_send", "address",
        "is_receiving",
    )  # fmt: skip

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
        self._receiving: RequestCycle | None = None
        self.is_receiving = False  # a body
        self.address = ""  # of the client

    def receive(self, cycle: RequestCycle) -> None:
        """Take a request whose body comes next. Without a key it is refused at once, and its body dropped."""
        self.is_receiving = True
        if self._router.has_key(cycle):
            self._receiving = cycle
        else:
            self.submit(cycle)

    def add(self, body: bytes) -> None:
        """Take a piece of the body."""
        if self._receiving is not None:
            self._receiving.body.append(body)

    def complete(self) -> RequestCycle | None:
        """Submit the request, which is complete, and return it; None if it has been refused."""
        self.is_receiving = False
        cycle, self._receiving = self._receiving, None
        if cycle is not None:
            self.submit(cycle)
        return cycle

    def drop(self) -> bool:
        """Drop the request whose body is being received. Return whether there was one."""
        dropped, self._receiving = self._receiving, None
        return dropped is not None

    def submit(self, cycle: RequestCycle) -> None:
        """Submit a complete request, or answer that it is refused."""
        self._answering = cycle
        router = self._router
        try:
            router.begin_request(cycle, self.address)
            route = cycle.route
            engine = router.registry.find(route.model, route.version, cycle.scope["headers"])
            body = cycle.body[0] if len(cycle.body) == 1 else b"".join(cycle.body)
            if len(body) > MIN_COUNTED:
                cycle.hold = Hold(router.memory)
                cycle.hold.take(FLAT_FACTOR * len(body))
                cycle.body.clear()  # it need not be in memory until the answer
            cycle.pending = router.predict.submit(engine, route, cycle.content_type, cycle.query, body)
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
        """Answer with the prediction, unless the connection is closed."""
        error: BaseException | None = None
        if prediction.cancelled():
            error = cycle.refusal or asyncio.CancelledError()
        else:
            error = prediction.exception()
        if error is not None:
            self._finish(cycle, error)
        elif self._answering is cycle:
            try:
                assert cycle.pending is not None
                body = encode_answer(cycle.pending, cycle.scope["request_id"])
                self._send(cycle, 200, JSON, body)
                self._answering = None
                self._router.end_request(cycle, 200)
            except Exception as unexpected:
                self._break_connection(unexpected)

    def _finish(self, cycle: RequestCycle, error: BaseException) -> None:
        """Answer with the problem, unless the connection is closed."""
        if self._answering is not cycle:
            return
        try:
            status, lines, body = format_problem(error, cycle.scope, self._router.metrics)
            self._send(cycle, status, lines, body)
            self._answering = None
            self._router.end_request(cycle, status)
        except Exception as unexpected:
            self._break_connection(unexpected)
