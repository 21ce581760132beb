"""The structure of a JSON text, from its bytes: how deep it is nested, and what parsing it would cost.

Nothing is parsed, and nothing is recursive. The text is read in pieces, between which other threads go on.
"""

from typing import NamedTuple

import numpy as np

PIECE_BYTES = 256 * 1024
# Of an object's member, in values: parsing a new key takes four times as long as parsing a number.
MEMBER_COST = 4
QUOTE, COMMA, COLON = b'",:'
NO_MARKS = bytes(set(range(256)) - set(b'",:[]{}'))  # left out first, because most of a text is none


class Structure(NamedTuple):
    """The greatest number of arrays and objects open at once, and the number of values.

    Arrays and objects are values too, and each member of an object counts as MEMBER_COST of them.
    """

    depth: int
    n_values: int


def measure_structure(data: bytes) -> Structure:
    """Return the structure of a text that need not be JSON. Brackets and commas in strings are text."""
    depth = deepest = n_values = 0
    in_string, is_escaped = 0, False
    for start in range(0, len(data), PIECE_BYTES):
        piece = data[start : start + PIECE_BYTES]
        if is_escaped:
            piece = b" " + piece[1:]
        is_escaped = False
        if b"\\" in piece:
            piece = piece.replace(b"\\\\", b"  ")
            is_escaped = piece.endswith(b"\\")
            piece = piece.replace(b'\\"', b"  ")
        codes = np.frombuffer(piece.translate(None, NO_MARKS), np.uint8)
        if not codes.size:
            continue
        strings = np.cumsum(codes == QUOTE, dtype=np.uint8)
        strings += np.uint8(in_string)
        strings &= 1
        in_string = int(strings[-1])
        codes = np.where(strings, np.uint8(0), codes)
        # Brackets and braces differ in one bit, which is set in braces.
        brackets = codes | 0x20
        opened, closed = brackets == ord("{"), brackets == ord("}")
        n_values += int(np.count_nonzero(codes == COMMA) + np.count_nonzero(opened))
        n_values += (MEMBER_COST - 1) * int(np.count_nonzero(codes == COLON))
        steps = opened.view(np.int8) - closed.view(np.int8)
        levels = np.cumsum(steps, dtype=np.int32)
        deepest = max(deepest, depth + int(levels.max()))
        depth += int(levels[-1])
    return Structure(deepest, n_values)
