"""Compressed bodies: gzip and deflate (zlib's format)."""

import asyncio
import zlib

from tailfuse_service.errors import BadRequest, UnsupportedMediaType
from tailfuse_service.http.asgi import make_too_large

GZIP, DEFLATE = 16 + zlib.MAX_WBITS, zlib.MAX_WBITS
ENCODINGS = {"gzip": GZIP, "deflate": DEFLATE}
WORTH_BYTES = 1024  # a shorter answer fits one packet without compression
INLINE_BYTES = 64 * 1024  # larger bodies are compressed in a thread


async def unpack(body: bytes, encoding: str | None, max_bytes: int) -> bytes:
    """The body as it was before it was compressed.

    Raises UnsupportedMediaType, BadRequest, or PayloadTooLarge: no more than `max_bytes` are ever unpacked.
    """
    if encoding is None or encoding == "identity":
        return body
    if encoding not in ENCODINGS:
        raise UnsupportedMediaType(
            f"the body is encoded as '{encoding:.80}'; gzip, deflate or none was expected",
            expected=[*ENCODINGS, "identity"], received=f"{encoding:.80}",
        )  # fmt: skip
    unpacker = zlib.decompressobj(ENCODINGS[encoding])
    try:
        begun = unpacker.decompress(body, min(INLINE_BYTES, max_bytes + 1))
        if unpacker.unconsumed_tail and len(begun) <= max_bytes:
            left = max_bytes + 1 - len(begun)
            begun += await asyncio.to_thread(unpacker.decompress, unpacker.unconsumed_tail, left)
    except zlib.error as error:
        raise BadRequest(f"the body is not {encoding}: {error}") from None
    if len(begun) > max_bytes:
        raise make_too_large(max_bytes)
    if not unpacker.eof or unpacker.unused_data:
        raise BadRequest(f"the body is not {encoding}: it ends too early, or goes on after its end")
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
    return zlib.compress(body, 1, ENCODINGS[encoding])
