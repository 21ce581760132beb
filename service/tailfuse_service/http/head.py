"""Heads: what the parser takes and is refused nevertheless, and the few headers that a connection reads."""

import re
from collections.abc import Iterable

import httptools

UPGRADE_HEADERS = frozenset((b"upgrade", b"connection", b"http2-settings"))
LENGTH = re.compile(rb"(?i:\r\ncontent-length:)[ \t]*([0-9]{1,18})[ \t]*(?=\r|\Z)")
MAX_LENGTH_DIGITS = 20  # as many as the largest length has

Headers = Iterable[tuple[bytes, bytes]]


def find_fault(headers: Headers, version: str) -> str | None:
    """Return why a request with these headers is refused, None if it is not."""
    n_hosts = 0
    for name, value in headers:
        if name == b"host":
            n_hosts += 1
        elif name == b"content-length" and len(value) > MAX_LENGTH_DIGITS:
            return f"the Content-Length has more than {MAX_LENGTH_DIGITS} digits"
        elif name == b"transfer-encoding" and value.strip().lower() != b"chunked":
            return "the Transfer-Encoding is not chunked; send other codings as Content-Encoding"
    if version == "1.1" and n_hosts != 1:
        return "an HTTP/1.1 request has one Host header"
    return None


def complete_target(target: bytes) -> bytes:
    """Return the target of a request with a path: that of http://host?a=b is /?a=b.

    Raises HttpParserError if it is no target.
    """
    if target.startswith(b"/") or target == b"*":
        return target
    parsed = httptools.parse_url(target)
    if parsed.path is not None:
        return target
    return b"/" if parsed.query is None else b"/?" + parsed.query


def get_length(headers: Headers) -> int:
    """Return a body's Content-Length; 0 without one. The parser refuses two, and one beside chunks."""
    for name, value in headers:
        if name == b"content-length":
            return int(value)
    return 0


def find_length(head: bytes) -> int | None:
    """Return the Content-Length in a head that is not parsed. The parser takes the same one, or refuses."""
    found = LENGTH.search(head)
    return None if found is None else int(found[1])


def remove_upgrade(method: bytes, url: bytes, headers: Headers) -> bytes:
    """Return the head of the same request without its offer of an upgrade."""
    kept = [(name, value) for name, value in headers if name not in UPGRADE_HEADERS]
    tokens = b",".join(value for name, value in headers if name == b"connection").lower()
    if b"close" in (token.strip() for token in tokens.split(b",")):
        kept.append((b"connection", b"close"))
    lines = b"".join(b"%s: %s\r\n" % each for each in kept)
    return b"%s %s HTTP/1.1\r\n%s\r\n" % (method, url, lines)
