"""Images in a JSON body: their base64 is decoded where it lies, and never becomes a text.

A photo of 12 megapixels has millions of characters of it: to parse them would take a seventh of the time of
the request, and another copy. benchmarks/json_bodies.py measures it.
"""

import re
from collections.abc import Mapping
from typing import Any

import orjson
import pybase64

from tailfuse_service.errors import ClientError
from tailfuse_service.modalities import ImageModality, Modality
from tailfuse_service.modalities.json_text import parse_json
from tailfuse_service.modalities.limits import DEFAULT_LIMITS, Limits

LONG_BYTES = 16 * 1024  # of base64; less is parsed as fast
BEGIN = re.compile(rb'[ \t\r\n]*:[ \t\r\n]*"')
# In the place of an image while the rest is parsed. No body that has no backslash spells this text.
STAND_IN, ENCODED_STAND_IN = "\0", b"\\u0000"


def parse_sample(body: bytes, modalities: Mapping[str, Modality], limits: Limits = DEFAULT_LIMITS) -> Any:
    """Parse `{"inputs": {…}}` as parse_json does, but a long image is its file's bytes.

    Whatever is unusual is left to parse_json, and so are all errors.
    """
    if len(body) > LONG_BYTES and b"\\" not in body:
        document = parse_around_images(body, modalities, limits)
        if document is not None:
            return document
    return parse_json(body, limits=limits)


def parse_around_images(body: bytes, modalities: Mapping[str, Modality], limits: Limits) -> Any:
    """Return the document with the bytes of its long images; None without one, or if anything is unusual."""
    names = [name for name, each in modalities.items() if isinstance(each, ImageModality)]
    found = {span: name for name in names if (span := find_long_string(body, name))}
    files, rest, at = {}, [], 0
    for (start, end), name in sorted(found.items()):
        try:
            files[name] = pybase64.b64decode(memoryview(body)[start:end], validate=True)
        except ValueError:
            return None
        rest += [body[at:start], ENCODED_STAND_IN]
        at = end
    if not files:
        return None
    try:
        document = parse_json(b"".join((*rest, body[at:])), limits=limits)
    except ClientError:
        return None
    inputs = document.get("inputs") if isinstance(document, dict) else None
    if not isinstance(inputs, dict) or any(inputs.get(name) != STAND_IN for name in files):
        return None
    inputs.update(files)
    return document


def find_long_string(body: bytes, name: str) -> tuple[int, int] | None:
    """Return where the text of the first member of this name begins and ends, if it is long."""
    key = orjson.dumps(name)
    at = body.find(key, 0, body.rfind(b'"'))  # behind the last quote there may be many numbers
    begin = BEGIN.match(body, at + len(key)) if at >= 0 else None
    if begin is None:
        return None
    end = body.find(b'"', begin.end())
    return (begin.end(), end) if end - begin.end() > LONG_BYTES else None
