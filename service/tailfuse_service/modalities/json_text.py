"""JSON text becomes values: how deep it is nested is checked first, and its errors say where they are."""

import math
import re
from json import loads as lenient_loads
from typing import Any

import numpy as np
import orjson

from tailfuse_service.errors import BadRequest, TooDeep
from tailfuse_service.modalities.limits import DEFAULT_LIMITS, Limits

STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)  # possessive: linear whatever it is given
BRACKETS = b"[]{}"
OTHERS = bytes(set(range(256)) - set(BRACKETS))
STEPS = bytes.maketrans(BRACKETS, b"\x01\xff\x01\xff")  # +1 and -1, as int8
NOT_FINITE = re.compile(r"NaN|Infinity")


def parse_json(data: bytes, what: str = "the body", limits: Limits = DEFAULT_LIMITS) -> Any:
    """Parse a JSON text. Raises TooDeep, or BadRequest, which says where the mistake is.

    NaN and infinities are not JSON, but pass: the column that holds one refuses it by name, and the other
    items of a batch are not affected.
    """
    if not data:
        raise BadRequest(f"{what} is empty; JSON was expected")
    if is_deeper(data, limits.max_json_depth):
        raise TooDeep(
            f"{what} has arrays and objects more than {limits.max_json_depth} deep",
            expected=limits.max_json_depth,
        )
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        mistake = error
    too_large = "infinity" in mistake.msg  # 1e999, or four hundred digits
    if too_large or NOT_FINITE.search(mistake.doc, max(mistake.pos - 1, 0), mistake.pos + 20):
        try:
            value = lenient_loads(mistake.doc, parse_int=parse_integer)
            orjson.dumps(value)  # refuses what else the lenient reader accepted
            return value
        except (ValueError, TypeError, RecursionError):
            pass
    raise BadRequest(f"{what} is not JSON: {mistake}")


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


def is_deeper(data: bytes, limit: int) -> bool:
    """Whether arrays and objects are nested more than `limit` deep. 0.4 us for a request of 300 bytes.

    Nothing is parsed, and nothing is recursive.
    """
    return has_more_brackets(data, limit) and measure_depth(data) > limit


def has_more_brackets(data: bytes, limit: int) -> bool:
    """Whether there are more than `limit` opening brackets.

    `find` skips an image's base64 40 times faster than `count` does.
    """
    opened = 0
    for bracket in (b"[", b"{"):
        at = data.find(bracket)
        while at >= 0:
            opened += 1
            if opened > limit:
                return True
            at = data.find(bracket, at + 1)
    return False


def measure_depth(data: bytes) -> int:
    """The greatest number of brackets open at once; brackets in strings are text."""
    plain = STRING.sub(b"", data) if b"\\" in data else b"".join(data.split(b'"')[::2])
    steps = np.frombuffer(plain.translate(STEPS, OTHERS), np.int8)
    return int(steps.cumsum(dtype=np.int32).max(initial=0))
