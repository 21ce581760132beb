"""JSON text becomes values: how deep it is nested is checked first, and its errors say where they are."""

import gc
import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from json import loads as lenient_loads
from typing import Any

import orjson

from tailfuse_service.errors import BadRequest, TooDeep, TooManyValues
from tailfuse_service.modalities.json_structure import MEMBER_COST, measure_structure
from tailfuse_service.modalities.limits import DEFAULT_LIMITS, Limits

MAX_MARKS = 1000  # to find them one by one takes 0.1 ms; to measure a text takes 0.7 ms for each MB
SHORT_BYTES = 64 * 1024  # of a text whose parsing creates too few objects to matter
BOM = "\ufeff"  # Windows' programs begin a text with it
ENCODED_BOM = BOM.encode()
# The first bytes of what is sent in place of JSON in UTF-8.
SIGNATURES = {
    b"\xff\xfe": "it is UTF-16; UTF-8 was expected",
    b"\xfe\xff": "it is UTF-16; UTF-8 was expected",
    b"{\0": "it is UTF-16; UTF-8 was expected",
    b"\0{": "it is UTF-16; UTF-8 was expected",
    b"\x1f\x8b": "it is gzip data; compress it once, and send the header Content-Encoding: gzip",
}
NOT_FINITE = re.compile(r"NaN|Infinity")


def parse_json(data: bytes, what: str = "the body", limits: Limits = DEFAULT_LIMITS) -> Any:
    """Parse a JSON text. Raises TooDeep, TooManyValues, or BadRequest, which says where the mistake is.

    NaN and infinities are not JSON, but pass: the column that holds one refuses it by name, and the other
    items of a batch are not affected.
    """
    if data.startswith(ENCODED_BOM):
        data = data[len(ENCODED_BOM) :]
    if not data:
        raise BadRequest(f"{what} is empty; JSON was expected")
    check_structure(data, what, limits)
    try:
        if len(data) <= SHORT_BYTES:
            return orjson.loads(data)
        with paused_collection():
            return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        mistake = error
    too_large = "infinity" in mistake.msg  # 1e999, or four hundred digits
    if too_large or NOT_FINITE.search(mistake.doc, max(mistake.pos - 1, 0), mistake.pos + 20):
        try:
            with paused_collection():
                value = lenient_loads(mistake.doc, parse_int=parse_integer)
            orjson.dumps(value)  # refuses what else the lenient reader accepted
            return value
        except (ValueError, TypeError, RecursionError):
            pass
    raise BadRequest(f"{what} is not JSON: {SIGNATURES.get(data[:2], mistake)}")


def parse_integer(digits: str) -> int | float:
    """Parse an integer as orjson does: one that does not fit into 64 bits is a float."""
    number = int(digits) if len(digits) <= 20 else math.inf
    return int(number) if -(2**63) <= number < 2**64 else float(digits)


def json_type(value: Any) -> str:
    """The name that JSON has for the type of a value."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    names = {str: "a string", int: "a number", float: "a number", list: "an array", dict: "an object"}
    return names.get(type(value), type(value).__name__)


def check_structure(data: bytes, what: str, limits: Limits) -> None:
    """Raise TooDeep or TooManyValues before anything is parsed. 0.4 us for a request of 300 bytes."""
    if count_marks(data, b"[{", limits.max_json_depth) <= limits.max_json_depth:
        # A value has at least one byte, and so has its comma; a member of an object has five.
        if len(data) <= limits.max_json_values:
            return
        # Images: too few commas and colons for the limit, even if none of them is part of a string.
        few = min(MAX_MARKS, (limits.max_json_values - limits.max_json_depth) // MEMBER_COST)
        if count_marks(data, b",:", few) <= few:
            return
    depth, n_values = measure_structure(data)
    if depth > limits.max_json_depth:
        raise TooDeep(
            f"{what} has arrays and objects more than {limits.max_json_depth} deep",
            expected=limits.max_json_depth,
        )
    if n_values > limits.max_json_values:
        raise make_too_many_values(what, n_values, limits)


def make_too_many_values(what: str, n_values: int, limits: Limits) -> TooManyValues:
    """Return the error of a text with more values than the limit."""
    return TooManyValues(
        f"{what} has {n_values:,} values, at most {limits.max_json_values:,} are taken; a member of an "
        f"object counts as {MEMBER_COST}. Send fewer items at once, or long arrays as binary data",
        expected=limits.max_json_values, received=n_values,
    )  # fmt: skip


@contextmanager
def paused_collection() -> Iterator[None]:
    """Pause garbage collection: while many objects are made at once, it would look at all of them often."""
    if not gc.isenabled():  # another thread has paused it, and ends the pause
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def count_marks(data: bytes, marks: bytes, limit: int) -> int:
    """Return how many bytes are one of the marks, or a number above `limit` if there are more.

    `find` skips an image's base64 40 times faster than `count` does.
    """
    found = 0
    for mark in marks:
        at = data.find(mark)
        while at >= 0:
            found += 1
            if found > limit:
                return found
            at = data.find(mark, at + 1)
    return found
