"""HTTP/1.1 connections: uvicorn's protocol, which feeds its parser with care and has a fast path.

One client must not harm the others. The parser is fed one request at a time, and the next one only when the
answer to the last is out and the client reads. Until then the bytes are held back and the socket is not read,
so that a pipeline costs one answer per turn of the event loop and no more memory than one read. An exception
that nothing else catches breaks its connection only.
"""

import asyncio
from typing import Any, cast

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from tailfuse_service.errors import BadRequest, HeadTooLarge, Overloaded, ServiceError, TooManyRequests
from tailfuse_service.http.answers import format_answer, format_problem
from tailfuse_service.http.cycle import RequestCycle, match_fast_path
from tailfuse_service.http.fast_path import FastPath
from tailfuse_service.http.feeder import Feeder
from tailfuse_service.http.flow import ReadControl
from tailfuse_service.http.guard import breaks_connection
from tailfuse_service.http.head import complete_target, find_fault, find_length, get_length, remove_upgrade
from tailfuse_service.http.head_cache import MAX_HEAD_BYTES, CachedHead
from tailfuse_service.http.lingering import linger
from tailfuse_service.http.memory import Hold
from tailfuse_service.http.router import Router, choose_request_id
from tailfuse_service.http.slices import END_OF_HEAD
from tailfuse_service.http.timeouts import Deadline, Timeouts, make_receive_timeout
from tailfuse_service.logs import LOG

# Uvicorn reads longer bodies, in pieces, and only after the key has been checked.
MAX_FAST_BYTES = 256 * 1024
NO_FAST_PATH = -1  # of the port of /metrics, where there are no predictions
MAX_OVERHEAD = 64 * 1024  # bytes of a head; or of a body's chunks and trailers, where each
BODY_BYTE = 8  # byte of the body makes up for some
STOP_WAIT_S = 5.0  # of a stop, for the rest of a request to arrive or of an answer to be read
# What uvicorn's callbacks raise for a request that is malformed.
MALFORMED = (httptools.HttpParserError, UnicodeError)


class Protocol(HttpToolsProtocol):
    """One connection. Uvicorn creates it with the router as its application."""

    def __init__(self, config: Any, server_state: Any, app_state: Any, _loop: Any = None) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._router = cast(Router, config.app)
        self._longest = min(MAX_FAST_BYTES, self._router.predict.max_body_bytes)
        self._now = self.loop.time
        self._fast = FastPath(self._router, self.loop, send=self._send, break_connection=self.break_off)
        self._feeder = Feeder(
            self._router.turns, parse=self._parse, may_feed=self._may_feed, break_connection=self.break_off
        )
        self._slices = self._feeder.slices  # received, and not parsed
        self._overhead = 0  # bytes of the request that are no body
        self._in_body = False  # the head of the request is complete
        self._complete: RequestCycle | None = None  # one that the present read has completed
        router = self._router
        self._hold = Hold(router.memory, self)  # the bytes of requests that arrive in pieces
        self._times = Timeouts(
            self.loop, router.receive_timeout_s, router.send_timeout_s, self.timeout_keep_alive,
            is_idle=self._is_idle, expired=self._time_out,
        )  # fmt: skip

    # --- receiving ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(cast(asyncio.Transport, transport))
        self.flow = reading = ReadControl(self.transport)
        self._times.watch(self.transport)
        own = self._router.metrics_port
        if own is not None and self.server is not None and self.server[1] == own:
            self._longest = NO_FAST_PATH
        self._fast.address = address = self.client[0] if self.client else ""
        self._feeder.control(reading, address)
        reason = self._router.connections.add(self, address)
        if reason is not None:
            self._refuse(TooManyRequests(f"{reason}; try again soon", retry_after_s=1))

    @breaks_connection
    def data_received(self, data: bytes) -> None:
        slices = self._slices
        if slices.data:  # held back: another read was under way
            self._hold_received(data)
            return
        may_begin = self._times.receiving_since is None and self._is_idle() and not self.flow.write_paused
        if not (may_begin and self._take_whole(data)) and self._hold_received(data):
            self._feeder.feed()

    def _hold_received(self, data: bytes) -> bool:
        """Keep received bytes, and return True, if there is memory for them."""
        try:
            self._hold.receive(len(data), self._now())
        except ServiceError as error:
            self._refuse_memory(error)
            return False
        self._slices.add(data)
        return True

    def _take_whole(self, data: bytes) -> bool:
        """Handle a read that is exactly one request, as most are; it need not be cut.

        If its head has been seen before, to the byte, it need not even be parsed.
        """
        head, _, body = data.partition(END_OF_HEAD)
        cached = self._router.cached_heads.find(head)
        if cached is not None and len(body) == cached.length <= self._longest:
            cycle = RequestCycle(cached.path, cached.route, cached.headers, cached.query, cached.content_type)
            cycle.body.append(body)
            self.cycle = cycle  # type: ignore[assignment]
            self._fast.submit(cycle)
            return True
        if len(head) > MAX_HEAD_BYTES or find_length(head) != len(body):
            return False
        self._complete = None
        self._parse(data)
        if self._slices.data:
            self._feeder.feed()  # it offered an upgrade
        complete = self._complete
        # A long body is not kept.
        if complete is not None and complete.keep_alive and complete.body in ([], [body]):
            scope = complete.scope
            parsed = CachedHead(
                scope["path"], complete.route, scope["headers"], complete.query, complete.content_type,
                len(body),
            )  # fmt: skip
            self._router.cached_heads.add(head, parsed)
        return True

    def _may_feed(self) -> bool:
        """Return whether the next bytes belong to the request whose turn it is.

        A new request's turn comes when the last one is answered and the client reads.
        """
        if self.transport.is_closing():
            self._slices.clear()  # a close may wait for what is written; nothing more is parsed
            return False
        if self._times.receiving_since is not None:
            return True
        return self._is_idle() and not self.flow.write_paused

    def _is_idle(self) -> bool:
        """Return whether no request waits for its answer."""
        return self.cycle is None or self.cycle.response_complete

    def _parse(self, piece: bytes) -> None:
        try:
            self.parser.feed_data(piece)
        except httptools.HttpParserUpgrade as upgrade:
            self._drop_upgrade(piece[upgrade.args[0] :])
        except httptools.HttpParserError as error:
            cause = error.__context__
            if isinstance(error, httptools.HttpParserCallbackError) and not isinstance(cause, MALFORMED):
                raise cause or error from None  # not the client's fault
            self._refuse(BadRequest("this is not an HTTP/1.1 request"))
        if self._times.receiving_since is not None:
            self._overhead = max(self._overhead + len(piece), -MAX_OVERHEAD)
            if self._overhead > MAX_OVERHEAD:
                self._refuse(HeadTooLarge(f"more than {MAX_OVERHEAD} bytes that are no body"))

    def on_message_begin(self) -> None:
        self.url = b""
        self.headers = []
        self.expect_100_continue = False
        self._times.receiving_since = self._now()
        self._overhead = 0
        self._in_body = False

    def _drop_upgrade(self, rest: bytes) -> None:
        """Parse the request again without its upgrade headers; the parser stopped after its head.

        Java's client offers HTTP/2 with the first request on every connection.
        """
        method = self.parser.get_method()
        if method == b"CONNECT":
            self._refuse(BadRequest("this is no proxy"))
            return
        self.parser = httptools.HttpRequestParser(self)
        self._times.receiving_since = None
        self._slices.put_back(remove_upgrade(method, self.url, self.headers) + rest)

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._in_body:  # else it is a trailer, which has no meaning here
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        if self.parser.should_upgrade():
            return  # see _drop_upgrade
        assert self._is_idle(), "a slice holds two requests"
        fault = find_fault(self.headers, self.parser.get_http_version())
        if fault is not None:
            self._refuse(BadRequest(fault))
            return
        self.url = complete_target(self.url)
        self._slices.body_left = get_length(self.headers)
        self._in_body = True
        cycle = match_fast_path(self.parser, self.url, self.headers, self._longest)
        if cycle is not None:
            self.cycle = cycle  # type: ignore[assignment]
            self._fast.receive(cycle)
            return
        url, headers, expect = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.expect_100_continue = url, expect
        self.headers.extend(headers)  # the scope holds this list
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._overhead -= BODY_BYTE * len(body)
        if self._fast.is_receiving:
            self._fast.add(body)
        elif not self.transport.is_closing():
            super().on_body(body)
        if self._is_idle():  # the request has been answered, and its body is dropped
            self._hold.keep(len(self._slices.data))

    def on_message_complete(self) -> None:
        if self.parser.should_upgrade():
            return
        self._times.receiving_since = None
        self._slices.body_left = 0
        if self._fast.is_receiving:
            self._complete = self._fast.complete()
        elif not self.transport.is_closing():
            super().on_message_complete()

    # --- answers ---

    def _send(self, cycle: RequestCycle, status: int, lines: bytes, body: bytes) -> None:
        """Write an answer of the fast path; close the connection if it is the last."""
        if not self._slices.data and self._router.balance.is_last():  # else a pipeline would be cut
            cycle.keep_alive = False
        self._write(status, lines, cycle.scope["request_id"], body, keep_alive=cycle.keep_alive)
        cycle.response_complete = True
        if not cycle.keep_alive:
            self.transport.close()
        self.on_response_complete()

    def _write(self, status: int, lines: bytes, request_id: str, body: bytes, *, keep_alive: bool) -> None:
        defaults = self._router.default_lines.format(self.server_state.default_headers)
        self.transport.write(format_answer(status, defaults, lines, request_id, body, keep_alive=keep_alive))

    def connection_lost(self, exc: Exception | None) -> None:
        self._times.cancel()
        self._feeder.stop()
        self._router.connections.remove(self)
        self._hold.close()
        try:
            super().connection_lost(exc)
        finally:
            self._fast.abandon()

    def break_off(self, error: Exception) -> None:
        """Abort this connection after an unexpected error; other connections are not affected."""
        self.transport.abort()
        try:
            self._fast.abandon()
        finally:  # last, because logging itself may fail
            LOG.error("connection broken", exc_info=error)

    # --- idle connections ---

    def get_idle_since(self) -> float | None:
        """Return since when no request is received or answered; None if one is."""
        is_busy = self._times.receiving_since is not None or self._slices.data or not self._is_idle()
        return None if is_busy else self._times.idle_since

    def close_idle(self) -> None:
        """Close, because another connection needs the place."""
        self.transport.close()

    def get_receiving_since(self) -> float | None:
        """Return since when a request has been arriving; None if none is."""
        return self._times.receiving_since

    def give_way(self) -> None:
        """Refuse the request that has been arriving, because another one needs the memory."""
        self._refuse_memory(Overloaded("the body arrives too slowly while memory is short", retry_after_s=1))

    def on_response_complete(self) -> None:
        self.server_state.total_requests += 1
        if self._hold.n_bytes:
            self._hold.keep(len(self._slices.data))
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        self._times.idle_since = self._now()
        self._feeder.feed_later()

    def _unset_keepalive_if_required(self) -> None:
        """Do nothing: one timer for each connection replaces uvicorn's timer for each request."""

    def pause_writing(self) -> None:
        super().pause_writing()
        self._times.sending_since = self._now()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._times.sending_since = None
        self._feeder.feed_later()

    def shutdown(self) -> None:
        """Close, or let the request be answered first. A stop does not wait for long for a slow client."""
        super().shutdown()
        self._times.limit(STOP_WAIT_S)

    @breaks_connection
    def _time_out(self, deadline: Deadline) -> None:
        """End a connection that is idle for too long, or whose client sends or reads too slowly."""
        if deadline is Deadline.RECEIVE:
            if not self._slices.data:  # else its bytes wait for the next turn of the loop
                self._refuse(make_receive_timeout(self._router.receive_timeout_s))
        elif deadline is Deadline.SEND or self.transport.get_write_buffer_size():
            self.transport.abort()  # the client does not read: a close would wait for it
        else:
            self.timeout_keep_alive_handler()

    # --- invalid requests ---

    def _refuse(self, error: ServiceError, *, lingers: bool = False) -> None:
        """Answer, unless this request has been answered; then close: the start of the next one is unknown."""
        if self.transport.is_closing():
            return
        request_id = choose_request_id(None)
        scope = {"method": "", "path": "", "headers": [], "request_id": request_id}
        status, lines, body = format_problem(error, scope, self._router.metrics)
        if self._take_answer():
            self._write(status, lines, request_id, body, keep_alive=False)
            if lingers:
                self._times.cancel()  # this was the only answer
                linger(self, self.transport, self.loop)
                return
        self.transport.close()

    def _refuse_memory(self, error: ServiceError) -> None:
        """Refuse a request that has not arrived, and drop what arrives of it."""
        self._refuse(error, lingers=True)
        self._slices.clear()
        self._hold.close()

    def _take_answer(self) -> bool:
        """Return whether the request that is being received may get an answer, which is its last."""
        if not self._in_body:
            return self._is_idle()
        if self._is_idle() or self.cycle.response_started:
            return False
        if not self._fast.drop():  # the cycle of uvicorn, whose application waits for more of the body
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        return True
