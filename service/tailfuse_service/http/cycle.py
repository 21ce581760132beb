"""One fast-path request and its answer, and which requests are on the fast path."""

import re

import httptools

from tailfuse_service.errors import TooManyRequests
from tailfuse_service.http.asgi import Headers
from tailfuse_service.http.paths import Endpoint, RouteMatch, match_path
from tailfuse_service.http.router import RequestRecord, choose_request_id
from tailfuse_service.http.routes.predict import PendingPrediction

SIMPLE_PATH = re.compile(rb"[\w./-]+", re.ASCII)  # nothing in it is to be decoded
# A request with one of these headers goes through ASGI.
ASGI_HEADERS = frozenset((b"transfer-encoding", b"content-encoding", b"expect", b"origin"))


class NoEvent:
    """Stands in for the event with which uvicorn wakes a task; the fast path has no task."""

    def set(self) -> None: ...


class RequestCycle(RequestRecord):
    """One request and its answer, with the attributes that uvicorn reads from the current cycle."""

    __slots__ = (
        "body",
        "content_type",
        "disconnected",
        "keep_alive",
        "pending",
        "query",
        "response_complete",
    )  # fmt: skip
    message_event = NoEvent()
    response_started = False  # an answer is written as a whole

    def __init__(
        self, path: str, route: RouteMatch, headers: Headers, query: bytes, content_type: str | None,
        request_id: str | None = None,
    ) -> None:  # fmt: skip
        scope = {
            "method": "POST", "path": path, "headers": headers, "request_id": choose_request_id(request_id)
        }  # fmt: skip
        super().__init__(scope, route)
        self.query = query
        self.content_type = content_type
        self.body: list[bytes] = []
        self.pending: PendingPrediction | None = None
        self.keep_alive = True
        self.disconnected = False
        self.response_complete = False

    def refuse(self, error: TooManyRequests) -> bool:
        """Have the fast path answer with this error. Return False if it has not submitted the request."""
        if self.pending is None:
            return False
        self.refusal = error
        self.pending.withdraw()
        return True


def match_fast_path(
    parser: httptools.HttpRequestParser, url: bytes, headers: Headers, max_bytes: int
) -> RequestCycle | None:
    """Return the request if the fast path can answer it: one sample in at most `max_bytes`."""
    if parser.get_method() != b"POST" or parser.get_http_version() != "1.1":
        return None
    target, _, query = url.partition(b"?")
    if not SIMPLE_PATH.fullmatch(target):
        return None
    path = target.decode()
    route = match_path(path)
    if route.endpoint is not Endpoint.PREDICT:
        return None
    by_name = dict(headers)
    if len(by_name) != len(headers) or not ASGI_HEADERS.isdisjoint(by_name):
        return None
    length = by_name.get(b"content-length", b"")
    if not length.isdigit() or len(length) > 18 or int(length) > max_bytes:
        return None
    cycle = RequestCycle(
        path,
        route,
        headers,
        query,
        decode_header(by_name.get(b"content-type")),
        decode_header(by_name.get(b"x-request-id")),
    )
    cycle.keep_alive = parser.should_keep_alive()
    return cycle


def decode_header(value: bytes | None) -> str | None:
    """Return a header's value as text."""
    return None if value is None else value.decode("latin-1")
