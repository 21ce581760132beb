"""One request on a connection and its answer, and what is remembered of a request's head."""

from typing import NamedTuple

from tailfuse_service.http.paths import PREDICT, match_path
from tailfuse_service.http.router import RequestRecord, request_id_of
from tailfuse_service.http.routes.predict import Asked

ROUTE = match_path(PREDICT)

Headers = list[tuple[bytes, bytes]]


class Known(NamedTuple):
    """What a head says."""

    headers: Headers
    query: bytes
    content_type: str | None
    length: int  # of the body


class NoEvent:
    """In the place of the event by which uvicorn wakes a task; here there is none."""

    def set(self) -> None: ...


class Exchange(RequestRecord):
    """One request and its answer, with what uvicorn asks of the present one."""

    __slots__ = (
        "asked", "body", "content_type", "disconnected", "keep_alive", "query", "response_complete",
    )  # fmt: skip
    message_event = NoEvent()

    def __init__(
        self, headers: Headers, query: bytes, content_type: str | None, request_id: str | None = None
    ) -> None:
        scope = {
            "method": "POST", "path": PREDICT, "headers": headers, "request_id": request_id_of(request_id)
        }  # fmt: skip
        super().__init__(scope, ROUTE)
        self.query = query
        self.content_type = content_type
        self.body: list[bytes] = []
        self.asked: Asked | None = None
        self.keep_alive = True
        self.disconnected = False
        self.response_complete = False
