"""A cache of request heads: a client sends the same head, to the byte, again and again."""

from typing import NamedTuple

from tailfuse_service.http.asgi import Headers
from tailfuse_service.http.paths import RouteMatch

MAX_HEADS = 512
MAX_HEAD_BYTES = 4096  # longer heads come in slices, and are parsed
# These differ with every request.
UNCACHED_HEADERS = frozenset((b"x-request-id", b"traceparent", b"tracestate"))


class CachedHead(NamedTuple):
    """A parsed head."""

    path: str
    route: RouteMatch
    headers: Headers
    query: bytes
    content_type: str | None
    length: int  # of the body


class HeadCache:
    """The parsed heads of one process, shared by all its connections."""

    def __init__(self) -> None:
        self._heads: dict[bytes, CachedHead] = {}
        self.find = self._heads.get

    def add(self, head: bytes, parsed: CachedHead) -> None:
        """Keep a head, unless it is for one request only."""
        if any(name in UNCACHED_HEADERS for name, _ in parsed.headers):
            return
        if len(self._heads) >= MAX_HEADS:
            self._heads.clear()
        self._heads[head] = parsed
