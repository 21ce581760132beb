"""HTTP/1.1 connections. A simple POST /predict is answered here, without a task, scope or middleware.

All other requests are uvicorn's, whose protocol this is: chunked, compressed or long bodies, an Expect or an
Origin header.

One client must not harm the others. The parser is fed one request at a time, and the next one only when the
answer to the last is out and the client reads. Until then the bytes are held back and the socket is not read,
so that a pipeline costs one answer per turn of the event loop and no more memory than one read. An exception
that nothing else catches breaks its connection only.
"""

import asyncio
from asyncio import Future
from collections.abc import Callable
from functools import partial, wraps
from typing import Any, TypeVarTuple, cast

import httptools
from starlette.responses import Response
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from tailfuse_service.errors import BadRequest, HeadTooLarge, ReceiveTimeout, ServiceError
from tailfuse_service.http.cycle import CachedHead, RequestCycle
from tailfuse_service.http.flow import ReadControl
from tailfuse_service.http.paths import PREDICT
from tailfuse_service.http.problems import log_and_make_problem, make_response
from tailfuse_service.http.router import CLIENT_CLOSED, Router, choose_request_id
from tailfuse_service.http.routes.predict import encode_answer
from tailfuse_service.http.slices import END_OF_HEAD, Slices, find_length, get_length
from tailfuse_service.logs import LOG

TARGET, TARGET_WITH_QUERY = PREDICT.encode(), f"{PREDICT}?".encode()
UPGRADE = frozenset((b"upgrade", b"connection", b"http2-settings"))
# A request with one of these headers goes through ASGI.
ASGI_HEADERS = frozenset((b"transfer-encoding", b"content-encoding", b"expect", b"origin"))
# Uvicorn reads longer bodies, in pieces, and only after the key has been checked.
MAX_FAST_BYTES = 256 * 1024
MAX_OVERHEAD = 64 * 1024  # bytes of a head; or of a body's chunks and trailers, where each
BODY_BYTE = 8  # byte of the body makes up for some
# Of one connection in one turn of the loop. A request has two, its head and its body; blank lines before it
# and an offer of an upgrade are one more each.
MAX_SLICES_PER_TURN = 4
MAX_CACHED_HEADS = 512
MAX_CACHED_HEAD_BYTES = 4096  # longer heads come in slices
# These differ with every request.
UNCACHED_HEADERS = frozenset((b"x-request-id", b"traceparent", b"tracestate"))
JSON = b"content-type: application/json\r\n"
# What uvicorn's callbacks raise for a request that is malformed.
MALFORMED = (httptools.HttpParserError, UnicodeError)

Ts = TypeVarTuple("Ts")


def breaks_connection(method: Callable[["Protocol", *Ts], None]) -> Callable[["Protocol", *Ts], None]:
    """Have what escapes from a method that the event loop calls break this connection, and nothing else."""

    @wraps(method)
    def guarded(protocol: "Protocol", *args: *Ts) -> None:
        try:
            method(protocol, *args)
        except Exception as error:
            protocol._break(error)

    return guarded


class Protocol(HttpToolsProtocol):
    """One connection. Uvicorn creates it with the router as its application."""

    def __init__(self, config: Any, server_state: Any, app_state: Any, _loop: Any = None) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._router = cast(Router, config.app)
        self._longest = min(MAX_FAST_BYTES, self._router.predict.max_body_bytes)
        self._now = self.loop.time
        self._answering: RequestCycle | None = None  # being answered on the fast path
        self._arriving: RequestCycle | None = None  # its body is being received
        self._slices = Slices()  # received, and not parsed
        self._turn: asyncio.Handle | None = None  # in which the parser gets more of them
        self._receiving_since: float | None = None  # start of the request that is being received
        self._overhead = 0  # its bytes outside the body
        self._complete: RequestCycle | None = None  # one that the present read has completed
        self._idle_since = self._now()  # start of the present idle time
        first = min(self.timeout_keep_alive, self._router.receive_timeout_s)
        self._timer = self.loop.call_later(first, self._check_timeouts)

    # --- receiving ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(cast(asyncio.Transport, transport))
        self.flow = self._reading = ReadControl(self.transport)

    @breaks_connection
    def data_received(self, data: bytes) -> None:
        slices = self._slices
        if slices.data:  # held back: another read was under way
            slices.add(data)
            return
        idle = self._receiving_since is None and (self.cycle is None or self.cycle.response_complete)
        if not (idle and not self.flow.write_paused and self._take_whole(data)):
            slices.add(data)
            self._feed()

    def _take_whole(self, data: bytes) -> bool:
        """Handle a read that is exactly one request, as most are; it need not be cut.

        If its head has been seen before, to the byte, it need not even be parsed.
        """
        head, _, body = data.partition(END_OF_HEAD)
        cached = self._router.cached_heads.get(head)
        if cached is not None and len(body) == cached.length:
            cycle = RequestCycle(cached.headers, cached.query, cached.content_type)
            cycle.body.append(body)
            self.cycle = self._answering = cycle  # type: ignore[assignment]
            self._submit(cycle)
            return True
        if len(head) > MAX_CACHED_HEAD_BYTES or find_length(head) != len(body):
            return False
        self._complete = None
        self._parse(data)
        if self._slices.data:
            self._feed()  # it offered an upgrade
        if self._complete is not None:
            self._cache_head(head, body, self._complete)
        return True

    def _feed(self) -> None:
        """Feed the parser as much of the request whose turn it is as one turn of the loop allows."""
        slices = self._slices
        for _ in range(MAX_SLICES_PER_TURN):
            if not slices.data or not self._may_feed():
                break
            self._parse(slices.take())
        if self.transport.is_closing():
            slices.clear()
        elif not slices.data:
            self._reading.release()
        else:
            self._reading.hold()
            if self._may_feed():
                self._feed_later()

    def _may_feed(self) -> bool:
        """Return whether the next bytes belong to the request whose turn it is.

        A new request's turn comes when the last one is answered and the client reads.
        """
        if self.transport.is_closing():
            return False
        if self._receiving_since is not None:
            return True
        return (self.cycle is None or self.cycle.response_complete) and not self.flow.write_paused

    def _feed_later(self) -> None:
        """Feed the parser in the next turn of the loop; the other connections come first."""
        if self._turn is None:
            self._turn = self.loop.call_soon(self._next_turn)

    @breaks_connection
    def _next_turn(self) -> None:
        self._turn = None
        self._feed()

    def _parse(self, piece: bytes) -> None:
        before = self._receiving_since
        try:
            self.parser.feed_data(piece)
        except httptools.HttpParserUpgrade as upgrade:
            self._drop_upgrade(piece[upgrade.args[0] :])
        except httptools.HttpParserError as error:
            cause = error.__context__
            if isinstance(error, httptools.HttpParserCallbackError) and not isinstance(cause, MALFORMED):
                raise cause or error from None  # not the client's fault
            self._refuse(BadRequest("this is not an HTTP/1.1 request"))
        # A piece with the end of one request and the beginning of the next counts for neither.
        if self._receiving_since is not None and self._receiving_since is before:
            self._overhead = max(self._overhead + len(piece), -MAX_OVERHEAD)
            if self._overhead > MAX_OVERHEAD:
                self._refuse(HeadTooLarge(f"more than {MAX_OVERHEAD} bytes that are no body"))

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._slices.data:
            self._feed_later()

    def _cache_head(self, head: bytes, body: bytes, cycle: RequestCycle) -> None:
        """Cache the head of a request that came in one read; clients repeat their heads."""
        headers = cycle.scope["headers"]
        cached = CachedHead(headers, cycle.query, cycle.content_type, len(body))
        is_unique = any(name in UNCACHED_HEADERS for name, _ in headers)
        if cycle.keep_alive and not is_unique and cycle.body == [body]:
            cached_heads = self._router.cached_heads
            if len(cached_heads) >= MAX_CACHED_HEADS:
                cached_heads.clear()
            cached_heads[head] = cached

    def on_message_begin(self) -> None:
        self.url = b""
        self.headers = []
        self.expect_100_continue = False
        self._receiving_since = self._now()
        self._overhead = 0

    def _drop_upgrade(self, rest: bytes) -> None:
        """Parse the request again without its upgrade headers; the parser stopped after its head.

        Java's client offers HTTP/2 with the first request on every connection.
        """
        method = self.parser.get_method()
        if method == b"CONNECT":
            self._refuse(BadRequest("this is no proxy"))
            return
        lines = [b"%s: %s\r\n" % (name, value) for name, value in self.headers if name not in UPGRADE]
        tokens = b",".join(value for name, value in self.headers if name == b"connection").lower()
        if b"close" in (token.strip() for token in tokens.split(b",")):
            lines.append(b"connection: close\r\n")
        self.parser = httptools.HttpRequestParser(self)
        self._receiving_since = None
        self._slices.put_back(b"%s %s HTTP/1.1\r\n%s\r\n%s" % (method, self.url, b"".join(lines), rest))

    def on_headers_complete(self) -> None:
        if self.parser.should_upgrade():
            return  # see _drop_upgrade
        assert self.cycle is None or self.cycle.response_complete, "a slice holds two requests"
        self._slices.body_left = get_length(self.headers)
        cycle = self._match_fast_path()
        if cycle is not None:
            self.cycle = self._answering = self._arriving = cycle  # type: ignore[assignment]
            return
        url, headers, expect = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.expect_100_continue = url, expect
        self.headers.extend(headers)  # the scope holds this list
        super().on_headers_complete()

    def _match_fast_path(self) -> RequestCycle | None:
        """Return the request if the fast path can answer it."""
        url, parser = self.url, self.parser
        if not (url == TARGET or url.startswith(TARGET_WITH_QUERY)) or parser.get_method() != b"POST":
            return None
        if parser.get_http_version() != "1.1":
            return None
        headers = dict(self.headers)
        if len(headers) != len(self.headers) or not ASGI_HEADERS.isdisjoint(headers):
            return None
        length = headers.get(b"content-length", b"")
        if not length.isdigit() or len(length) > 18 or int(length) > self._longest:
            return None
        cycle = RequestCycle(
            self.headers,
            url[len(TARGET_WITH_QUERY) :],
            decode_header(headers.get(b"content-type")),
            decode_header(headers.get(b"x-request-id")),
        )
        cycle.keep_alive = parser.should_keep_alive()
        return cycle

    def on_body(self, body: bytes) -> None:
        self._overhead -= BODY_BYTE * len(body)
        if self._arriving is not None:
            self._arriving.body.append(body)
        else:
            super().on_body(body)

    def on_message_complete(self) -> None:
        if self.parser.should_upgrade():
            return
        self._receiving_since = None
        self._slices.body_left = 0
        cycle, self._arriving = self._arriving, None
        if cycle is not None:
            self._complete = cycle
            self._submit(cycle)
        else:
            super().on_message_complete()

    # --- answers ---

    def _submit(self, cycle: RequestCycle) -> None:
        router = self._router
        try:
            router.begin_request(cycle)
            engine = router.registry.find(headers=cycle.scope["headers"])
            body = cycle.body[0] if len(cycle.body) == 1 else b"".join(cycle.body)
            cycle.pending = router.predict.submit(engine, cycle.content_type, cycle.query, body)
        except Exception as error:
            # In the next turn of the loop, so that a long pipeline does not delay other connections.
            self.loop.call_soon(self._answer_refusal, cycle, error)
        else:
            cycle.pending.prediction.add_done_callback(partial(self._answered, cycle))

    @breaks_connection
    def _answered(self, cycle: RequestCycle, prediction: Future[Any]) -> None:
        if self._answering is not cycle:
            return
        error = asyncio.CancelledError() if prediction.cancelled() else prediction.exception()
        if error is not None:
            self._answer_problem(cycle, error)
            return
        assert cycle.pending is not None
        self._send(cycle, 200, JSON, encode_answer(cycle.pending, cycle.scope["request_id"]))

    @breaks_connection
    def _answer_refusal(self, cycle: RequestCycle, error: BaseException) -> None:
        if self._answering is cycle:  # the connection is still open
            self._answer_problem(cycle, error)

    def _answer_problem(self, cycle: RequestCycle, error: BaseException) -> None:
        response = make_response(log_and_make_problem(error, cycle.scope, self._router.metrics))
        self._send(cycle, response.status_code, format_headers(response), bytes(response.body))

    def _send(self, cycle: RequestCycle, status: int, lines: bytes, body: bytes) -> None:
        parts = [
            STATUS_LINE[status], self._defaults(), lines,
            b"x-request-id: ", cycle.scope["request_id"].encode(),
            b"\r\ncontent-length: %d\r\n\r\n" % len(body), body,
        ]  # fmt: skip
        if not cycle.keep_alive:
            parts.insert(1, b"connection: close\r\n")
        self.transport.write(b"".join(parts))
        cycle.response_complete = True
        self._answering = None
        self._router.end_request(cycle, status)
        if not cycle.keep_alive:
            self.transport.close()
        self.on_response_complete()

    def _defaults(self) -> bytes:
        """Return uvicorn's default header lines; it renews the date every second."""
        made, lines = self._router.default_lines
        headers = self.server_state.default_headers
        if made is not headers:
            lines = b"".join(b"%s: %s\r\n" % each for each in headers)
            self._router.default_lines = headers, lines
        return lines

    def connection_lost(self, exc: Exception | None) -> None:
        self._timer.cancel()
        if self._turn is not None:
            self._turn.cancel()
        self._slices.clear()
        try:
            super().connection_lost(exc)
        finally:
            self._abandon()

    def _abandon(self) -> None:
        """Withdraw the request that is being answered here; its client is gone."""
        cycle, self._answering = self._answering, None
        if cycle is None:
            return
        try:
            if cycle.pending is not None:
                cycle.pending.withdraw()
        finally:
            self._router.end_request(cycle, CLIENT_CLOSED)

    def _break(self, error: Exception) -> None:
        """Abort this connection after an unexpected error; other connections are not affected."""
        self.transport.abort()
        try:
            self._abandon()
        finally:  # last, because logging itself may fail
            LOG.error("connection broken", exc_info=error)

    # --- idle connections ---

    def on_response_complete(self) -> None:
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        self._idle_since = self._now()
        if self._slices.data:
            self._feed_later()

    def _unset_keepalive_if_required(self) -> None:
        """Do nothing: one timer for each connection replaces uvicorn's timer for each request."""

    @breaks_connection
    def _check_timeouts(self) -> None:
        """Close a connection that is idle for too long, or whose request is received too slowly."""
        now, limit = self._now(), self._router.receive_timeout_s
        if (
            self._receiving_since is not None
            and not self._slices.data
            and now - self._receiving_since > limit
        ):
            self._refuse(ReceiveTimeout(f"the request has not arrived within {limit:g} s", expected=limit))
            return
        waits = self._receiving_since is None and (self.cycle is None or self.cycle.response_complete)
        left = self._idle_since + self.timeout_keep_alive - now if waits else self.timeout_keep_alive
        if left <= 0:
            if self.flow.write_paused:
                self.transport.abort()  # the client does not read: a close would wait for it
            else:
                self.timeout_keep_alive_handler()
            return
        self._timer = self.loop.call_later(min(left, limit), self._check_timeouts)

    # --- invalid requests ---

    def _refuse(self, error: ServiceError) -> None:
        """Answer if it is this request's turn, then close: the start of the next request is unknown."""
        if self.transport.is_closing():
            return
        scope = {"method": "", "path": "", "headers": [], "request_id": choose_request_id(None)}
        response = make_response(log_and_make_problem(error, scope, self._router.metrics))
        nothing_before = self.cycle is None or self.cycle.response_complete
        if nothing_before or self._arriving is not None:
            self.transport.write(
                STATUS_LINE[response.status_code] + b"connection: close\r\n" + self._defaults()
                + format_headers(response)
                + b"content-length: %d\r\n\r\n" % len(response.body) + response.body
            )  # fmt: skip
        self.transport.close()


def format_headers(response: Response) -> bytes:
    """Return the header lines of a response, except its length."""
    return b"".join(
        b"%s: %s\r\n" % (name, value) for name, value in response.raw_headers if name != b"content-length"
    )


def decode_header(value: bytes | None) -> str | None:
    """Return a header's value as text."""
    return None if value is None else value.decode("latin-1")
