"""Base64 as people really send it: plain, with line breaks, URL-safe, without padding, in a data URL."""

import re
from urllib.parse import unquote_to_bytes

import pybase64

DATA_URL = re.compile(rb"data:[^,]*,", re.IGNORECASE)
WHITESPACE = b" \t\r\n\v\f"
URL_SAFE = bytes.maketrans(b"-_", b"+/")


def decode_base64(text: str) -> bytes:
    """Return the bytes that a text spells, also in a data URL. Raises ValueError.

    >>> decode_base64("data:text/plain;base64,-_8")
    b'\\xfb\\xff'
    """
    start = text.find(",") + 1 if text.startswith("data:") else 0
    try:
        return pybase64.b64decode(text[start:], validate=True)
    except ValueError:
        return decode_unusual_base64(text.encode("ascii"))


def decode_unusual_base64(text: bytes) -> bytes:
    """Return what decode_base64 does, of any form that is accepted. Raises ValueError."""
    text = text.translate(URL_SAFE, WHITESPACE)
    head = DATA_URL.match(text)
    if head is not None:
        text = text[head.end() :]
        if b"%" in text:
            text = unquote_to_bytes(text).translate(URL_SAFE, WHITESPACE)
    digits = text.rstrip(b"=")
    if text and not digits:
        raise ValueError("there is only padding")
    return pybase64.b64decode(digits + b"=" * (-len(digits) % 4), validate=True)
