"""Compressed bodies: gzip and deflate (zlib's format)."""

import asyncio
import zlib

from tailfuse_service.errors import BadRequest, UnsupportedMediaType
from tailfuse_service.http.asgi import Receive, Scope, header, make_too_large, read_body
from tailfuse_service.http.memory import get_hold

GZIP, DEFLATE = 16 + zlib.MAX_WBITS, zlib.MAX_WBITS
ENCODINGS = {"gzip": GZIP, "deflate": DEFLATE}
MAX_RATIO = 1032  # of deflate
WORTH_BYTES = 1024  # a shorter answer fits one packet without compression
INLINE_BYTES = 64 * 1024  # larger bodies are compressed and unpacked in a thread


async def read_unpacked_body(scope: Scope, receive: Receive, max_bytes: int) -> bytes:
    """Return the whole body as it was before it was compressed. `max_bytes` holds before and after.

    Raises UnsupportedMediaType before anything is read, PayloadTooLarge, BadRequest, ClientDisconnected.
    """
    encoding = find_encoding(header(scope, b"content-encoding"))
    body = await read_body(scope, receive, max_bytes)
    if encoding is None:
        return body
    hold = get_hold(scope)
    most = min(MAX_RATIO * len(body), max_bytes)
    hold.take(most)
    unpacked = await unpack(body, encoding, max_bytes)
    hold.keep(hold.n_bytes - most + len(unpacked))
    return unpacked


def find_encoding(value: str | None) -> str | None:
    """Return the encoding that a Content-Encoding names, None for none. Raises UnsupportedMediaType."""
    encoding = "" if value is None else value.strip().lower()
    if encoding in ("", "identity"):
        return None
    if encoding in ENCODINGS:
        return encoding
    if encoding == "x-gzip":  # the same by RFC 9110
        return "gzip"
    raise UnsupportedMediaType(
        f"the content encoding is '{value:.80}'; {', '.join(ENCODINGS)} or none was expected",
        expected=[*ENCODINGS, "identity"], received=f"{value:.80}",
    )  # fmt: skip


async def unpack(body: bytes, encoding: str, max_bytes: int) -> bytes:
    """Return the body as it was before it was compressed; never more than `max_bytes` are unpacked.

    Raises BadRequest, PayloadTooLarge.
    """
    unpacker = zlib.decompressobj(ENCODINGS[encoding])
    # Small bodies are usually done after the first step, which also bounds a small body that becomes large.
    first = min(INLINE_BYTES, max_bytes + 1) if len(body) <= INLINE_BYTES else 0
    try:
        begun, rest = (unpacker.decompress(body, first), unpacker.unconsumed_tail) if first else (b"", body)
        if rest and len(begun) <= max_bytes:
            begun += await asyncio.to_thread(unpacker.decompress, rest, max_bytes + 1 - len(begun))
    except zlib.error as error:
        raise BadRequest(f"the body is not {encoding}: {error}") from None
    if len(begun) > max_bytes:
        raise make_too_large(max_bytes)
    if not unpacker.eof:
        raise BadRequest(f"the body is not {encoding}: it ends too early")
    if unpacker.unused_data:
        raise BadRequest(f"the body is not {encoding}: it goes on after its end")
    return begun


async def pack(body: bytes, accepted: str | None) -> tuple[bytes, str | None]:
    """Return the body and its encoding; compressed if the client accepts it and it is long enough."""
    encoding = None if accepted is None or len(body) < WORTH_BYTES else choose_encoding(accepted)
    if encoding is None:
        return body, None
    if len(body) <= INLINE_BYTES:
        return compress(body, encoding), encoding
    return await asyncio.to_thread(compress, body, encoding), encoding


def choose_encoding(accepted: str) -> str | None:
    """Return an encoding that Accept-Encoding allows."""
    offers = [part.replace(" ", "").lower().partition(";") for part in accepted.split(",")]
    taken = {name for name, _, quality in offers if not quality.startswith("q=") or quality[2:].strip("0.")}
    return next((name for name in ENCODINGS if name in taken), None)


def compress(body: bytes, encoding: str) -> bytes:
    """Compress a body at the fastest level."""
    return zlib.compress(body, 1, ENCODINGS[encoding])
