"""One fast-path request and its answer, and the cached head of a request."""

from typing import NamedTuple

from tailfuse_service.http.paths import PREDICT, match_path
from tailfuse_service.http.router import RequestRecord, choose_request_id
from tailfuse_service.http.routes.predict import PendingPrediction

ROUTE = match_path(PREDICT)

Headers = list[tuple[bytes, bytes]]


class CachedHead(NamedTuple):
    """The parsed head of a request that clients send again and again."""

    headers: Headers
    query: bytes
    content_type: str | None
    length: int  # of the body


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

    def __init__(
        self, headers: Headers, query: bytes, content_type: str | None, request_id: str | None = None
    ) -> None:
        scope = {
            "method": "POST", "path": PREDICT, "headers": headers, "request_id": choose_request_id(request_id)
        }  # fmt: skip
        super().__init__(scope, ROUTE)
        self.query = query
        self.content_type = content_type
        self.body: list[bytes] = []
        self.pending: PendingPrediction | None = None
        self.keep_alive = True
        self.disconnected = False
        self.response_complete = False
