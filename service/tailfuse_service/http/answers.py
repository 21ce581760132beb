"""The bytes of an answer that is written without ASGI."""

from typing import Any

from starlette.responses import Response
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from tailfuse_service.http.asgi import Scope
from tailfuse_service.http.problems import log_and_make_problem, make_response
from tailfuse_service.metrics import Metrics

JSON = b"content-type: application/json\r\n"


class DefaultLines:
    """The header lines of every answer. Uvicorn makes a new list every second, for the date."""

    def __init__(self) -> None:
        self._headers: Any = None
        self._lines = b""

    def format(self, headers: list[tuple[bytes, bytes]]) -> bytes:
        """Return the lines of these headers."""
        if self._headers is not headers:
            self._lines = b"".join(b"%s: %s\r\n" % each for each in headers)
            self._headers = headers
        return self._lines


def format_answer(
    status: int, defaults: bytes, lines: bytes, request_id: str, body: bytes, *, keep_alive: bool
) -> bytes:
    """Return a whole answer."""
    parts = [
        STATUS_LINE[status], defaults, lines, b"x-request-id: ", request_id.encode(),
        b"\r\ncontent-length: %d\r\n\r\n" % len(body), body,
    ]  # fmt: skip
    if not keep_alive:
        parts.insert(1, b"connection: close\r\n")
    return b"".join(parts)


def format_headers(response: Response) -> bytes:
    """Return the header lines of a response, except its length."""
    return b"".join(
        b"%s: %s\r\n" % (name, value) for name, value in response.raw_headers if name != b"content-length"
    )


def format_problem(error: BaseException, scope: Scope, metrics: Metrics) -> tuple[int, bytes, bytes]:
    """Count and log an error; return the status, header lines and body of its answer."""
    response = make_response(log_and_make_problem(error, scope, metrics))
    return response.status_code, format_headers(response), bytes(response.body)
