"""HTTP/1.1 connections. A plain POST /predict is answered right here: no task, no scope, no middleware.

All other requests are uvicorn's, whose protocol this is: chunked, compressed or long bodies, an Expect or an
Origin header.

One caller must not harm the others. The parser is fed one request at a time, and the next one only when the
answer to the last is out and the caller reads. Until then the bytes are held back and the socket is not read,
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
from tailfuse_service.http.cycle import Exchange, Known
from tailfuse_service.http.flow import ReadControl
from tailfuse_service.http.paths import PREDICT
from tailfuse_service.http.problems import noted, response_of
from tailfuse_service.http.router import HUNG_UP, Front, request_id_of
from tailfuse_service.http.routes.predict import answer
from tailfuse_service.http.slices import END_OF_HEAD, Slices, find_length, get_length
from tailfuse_service.logs import LOG

TARGET, TARGET_WITH_QUERY = PREDICT.encode(), f"{PREDICT}?".encode()
UPGRADE = frozenset((b"upgrade", b"connection", b"http2-settings"))
# With one of these a request is not plain.
SPECIAL = frozenset((b"transfer-encoding", b"content-encoding", b"expect", b"origin"))
# A longer body is uvicorn's to read: bit by bit, and not before its caller has shown a key.
PLAIN_BYTES = 256 * 1024
MAX_OVERHEAD = 64 * 1024  # bytes of a head; or of a body's chunks and trailers, where each
BODY_BYTE = 8  # byte of the body makes up for some
# Of one connection in one turn of the loop. A request has two, its head and its body; blank lines before it
# and an offer of an upgrade are one more each.
MAX_SLICES_PER_TURN = 4
MOST_HEADS, MOST_OF_A_HEAD = 512, 4096  # that are remembered, and their bytes; longer ones come in slices
ONCE = frozenset((b"x-request-id", b"traceparent", b"tracestate"))  # these are never the same twice
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
    """A connection. Uvicorn makes one for each, with the front as its app."""

    def __init__(self, config: Any, server_state: Any, app_state: Any, _loop: Any = None) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._front = cast(Front, config.app)
        self._longest = min(PLAIN_BYTES, self._front.predict.max_body_bytes)
        self._now = self.loop.time
        self._exchange: Exchange | None = None  # the one that is being answered here
        self._arriving: Exchange | None = None  # the same, while its body arrives
        self._slices = Slices()  # received, and not parsed
        self._turn: asyncio.Handle | None = None  # in which the parser gets more of them
        self._asked: float | None = None  # since when a request has been arriving
        self._overhead = 0  # bytes of it that are no body
        self._whole: Exchange | None = None  # one that the present read has completed
        self._quiet = self._now()  # since when there has been nothing to do
        first = min(self.timeout_keep_alive, self._front.receive_timeout_s)
        self._watch = self.loop.call_later(first, self._look)

    # --- a request arrives ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(cast(asyncio.Transport, transport))
        self.flow = self._reading = ReadControl(self.transport)

    @breaks_connection
    def data_received(self, data: bytes) -> None:
        slices = self._slices
        if slices.data:  # held back: one more read was under way
            slices.add(data)
            return
        idle = self._asked is None and (self.cycle is None or self.cycle.response_complete)
        if not (idle and not self.flow.write_paused and self._take_whole(data)):
            slices.add(data)
            self._feed()

    def _take_whole(self, data: bytes) -> bool:
        """Take a read that is one whole request, as most are; it need not be cut.

        If its head has been seen before, to the byte, it need not even be parsed.
        """
        head, _, body = data.partition(END_OF_HEAD)
        known = self._front.heads.get(head)
        if known is not None and len(body) == known.length:
            exchange = Exchange(known.headers, known.query, known.content_type)
            exchange.body.append(body)
            self.cycle = self._exchange = exchange  # type: ignore[assignment]
            self._ask(exchange)
            return True
        if len(head) > MOST_OF_A_HEAD or find_length(head) != len(body):
            return False
        self._whole = None
        self._parse(data)
        if self._slices.data:
            self._feed()  # it offered an upgrade
        if self._whole is not None:
            self._remember(head, body, self._whole)
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
        """Whether the next bytes belong to the request whose turn it is.

        A new one's turn comes when the last one is answered and the caller reads.
        """
        if self.transport.is_closing():
            return False
        if self._asked is not None:
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
        before = self._asked
        try:
            self.parser.feed_data(piece)
        except httptools.HttpParserUpgrade as upgrade:
            self._drop_upgrade(piece[upgrade.args[0] :])
        except httptools.HttpParserError as error:
            cause = error.__context__
            if isinstance(error, httptools.HttpParserCallbackError) and not isinstance(cause, MALFORMED):
                raise cause or error from None  # not the caller's fault
            self._refuse(BadRequest("this is not an HTTP/1.1 request"))
        # A piece with the end of one request and the beginning of the next counts for neither.
        if self._asked is not None and self._asked is before:
            self._overhead = max(self._overhead + len(piece), -MAX_OVERHEAD)
            if self._overhead > MAX_OVERHEAD:
                self._refuse(HeadTooLarge(f"more than {MAX_OVERHEAD} bytes that are no body"))

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._slices.data:
            self._feed_later()

    def _remember(self, head: bytes, body: bytes, exchange: Exchange) -> None:
        """Keep the head of a whole request that came in one read; callers send the same one over and over."""
        headers = exchange.scope["headers"]
        known = Known(headers, exchange.query, exchange.content_type, len(body))
        once = any(name in ONCE for name, _ in headers)
        if exchange.keep_alive and not once and exchange.body == [body]:
            heads = self._front.heads
            if len(heads) >= MOST_HEADS:
                heads.clear()
            heads[head] = known

    def on_message_begin(self) -> None:
        self.url = b""
        self.headers = []
        self.expect_100_continue = False
        self._asked = self._now()
        self._overhead = 0

    def _drop_upgrade(self, rest: bytes) -> None:
        """Have the request parsed again without its offer of an upgrade; the parser stopped after its head.

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
        self._asked = None
        self._slices.put_back(b"%s %s HTTP/1.1\r\n%s\r\n%s" % (method, self.url, b"".join(lines), rest))

    def on_headers_complete(self) -> None:
        if self.parser.should_upgrade():
            return  # see _drop_upgrade
        assert self.cycle is None or self.cycle.response_complete, "a slice holds two requests"
        self._slices.body_left = get_length(self.headers)
        exchange = self._plain()
        if exchange is not None:
            self.cycle = self._exchange = self._arriving = exchange  # type: ignore[assignment]
            return
        url, headers, expect = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.expect_100_continue = url, expect
        self.headers.extend(headers)  # the scope has this very list
        super().on_headers_complete()

    def _plain(self) -> Exchange | None:
        """The request, if it is answered here."""
        url, parser = self.url, self.parser
        if not (url == TARGET or url.startswith(TARGET_WITH_QUERY)) or parser.get_method() != b"POST":
            return None
        if parser.get_http_version() != "1.1":
            return None
        headers = dict(self.headers)
        if len(headers) != len(self.headers) or not SPECIAL.isdisjoint(headers):
            return None
        length = headers.get(b"content-length", b"")
        if not length.isdigit() or len(length) > 18 or int(length) > self._longest:
            return None
        exchange = Exchange(
            self.headers,
            url[len(TARGET_WITH_QUERY) :],
            text_of(headers.get(b"content-type")),
            text_of(headers.get(b"x-request-id")),
        )
        exchange.keep_alive = parser.should_keep_alive()
        return exchange

    def on_body(self, body: bytes) -> None:
        self._overhead -= BODY_BYTE * len(body)
        if self._arriving is not None:
            self._arriving.body.append(body)
        else:
            super().on_body(body)

    def on_message_complete(self) -> None:
        if self.parser.should_upgrade():
            return
        self._asked = None
        self._slices.body_left = 0
        exchange, self._arriving = self._arriving, None
        if exchange is not None:
            self._whole = exchange
            self._ask(exchange)
        else:
            super().on_message_complete()

    # --- it is answered ---

    def _ask(self, exchange: Exchange) -> None:
        front = self._front
        try:
            front.begin_request(exchange)
            engine = front.serving.find(headers=exchange.scope["headers"])
            body = exchange.body[0] if len(exchange.body) == 1 else b"".join(exchange.body)
            exchange.asked = front.predict.submit(engine, exchange.content_type, exchange.query, body)
        except Exception as error:
            # In the next turn of the loop: others come first, however many requests are waiting here.
            self.loop.call_soon(self._answer_refusal, exchange, error)
        else:
            exchange.asked.prediction.add_done_callback(partial(self._answered, exchange))

    @breaks_connection
    def _answered(self, exchange: Exchange, pending: Future[Any]) -> None:
        if self._exchange is not exchange:
            return
        error = asyncio.CancelledError() if pending.cancelled() else pending.exception()
        if error is not None:
            self._answer_problem(exchange, error)
            return
        assert exchange.asked is not None
        self._send(exchange, 200, JSON, answer(exchange.asked, exchange.scope["request_id"]))

    @breaks_connection
    def _answer_refusal(self, exchange: Exchange, error: BaseException) -> None:
        if self._exchange is exchange:  # the connection is still there
            self._answer_problem(exchange, error)

    def _answer_problem(self, exchange: Exchange, error: BaseException) -> None:
        response = response_of(noted(error, exchange.scope, self._front.metrics))
        self._send(exchange, response.status_code, lines_of(response), bytes(response.body))

    def _send(self, exchange: Exchange, status: int, lines: bytes, body: bytes) -> None:
        parts = [
            STATUS_LINE[status], self._defaults(), lines,
            b"x-request-id: ", exchange.scope["request_id"].encode(),
            b"\r\ncontent-length: %d\r\n\r\n" % len(body), body,
        ]  # fmt: skip
        if not exchange.keep_alive:
            parts.insert(1, b"connection: close\r\n")
        self.transport.write(b"".join(parts))
        exchange.response_complete = True
        self._exchange = None
        self._front.end_request(exchange, status)
        if not exchange.keep_alive:
            self.transport.close()
        self.on_response_complete()

    def _defaults(self) -> bytes:
        """The date, as a line; uvicorn makes it anew every second."""
        made, lines = self._front.default_lines
        headers = self.server_state.default_headers
        if made is not headers:
            lines = b"".join(b"%s: %s\r\n" % each for each in headers)
            self._front.default_lines = headers, lines
        return lines

    def connection_lost(self, exc: Exception | None) -> None:
        self._watch.cancel()
        if self._turn is not None:
            self._turn.cancel()
        self._slices.clear()
        try:
            super().connection_lost(exc)
        finally:
            self._abandon()

    def _abandon(self) -> None:
        """Give up the request that is being answered here: nobody waits for it."""
        exchange, self._exchange = self._exchange, None
        if exchange is None:
            return
        try:
            if exchange.asked is not None:
                exchange.asked.withdraw()
        finally:
            self._front.end_request(exchange, HUNG_UP)

    def _break(self, error: Exception) -> None:
        """Close the connection at once: something failed that no answer can tell of. Nobody else notices."""
        self.transport.abort()
        try:
            self._abandon()
        finally:  # last, since logging may be what fails
            LOG.error("connection broken", exc_info=error)

    # --- connections that wait ---

    def on_response_complete(self) -> None:
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        self._quiet = self._now()
        if self._slices.data:
            self._feed_later()

    def _unset_keepalive_if_required(self) -> None:
        """Uvicorn sets a timer after each answer and takes it back with the next request; here one looks."""

    @breaks_connection
    def _look(self) -> None:
        """Close a connection that has been quiet, or a request that has been arriving, for too long."""
        now, limit = self._now(), self._front.receive_timeout_s
        if self._asked is not None and not self._slices.data and now - self._asked > limit:
            self._refuse(ReceiveTimeout(f"the request has not arrived within {limit:g} s", expected=limit))
            return
        waits = self._asked is None and (self.cycle is None or self.cycle.response_complete)
        left = self._quiet + self.timeout_keep_alive - now if waits else self.timeout_keep_alive
        if left <= 0:
            if self.flow.write_paused:
                self.transport.abort()  # its answers are not read: a close would wait for that
            else:
                self.timeout_keep_alive_handler()
            return
        self._watch = self.loop.call_later(min(left, limit), self._look)

    # --- what is no request ---

    def _refuse(self, error: ServiceError) -> None:
        """Answer, if it is this one's turn, and break the connection: where the next begins is unknown."""
        if self.transport.is_closing():
            return
        scope = {"method": "", "path": "", "headers": [], "request_id": request_id_of(None)}
        response = response_of(noted(error, scope, self._front.metrics))
        nothing_before = self.cycle is None or self.cycle.response_complete
        if nothing_before or self._arriving is not None:
            self.transport.write(
                STATUS_LINE[response.status_code] + b"connection: close\r\n" + self._defaults()
                + lines_of(response) + b"content-length: %d\r\n\r\n" % len(response.body) + response.body
            )  # fmt: skip
        self.transport.close()


def lines_of(response: Response) -> bytes:
    """The headers of a response, but for its length."""
    return b"".join(
        b"%s: %s\r\n" % (name, value) for name, value in response.raw_headers if name != b"content-length"
    )


def text_of(value: bytes | None) -> str | None:
    """A header's value."""
    return None if value is None else value.decode("latin-1")
