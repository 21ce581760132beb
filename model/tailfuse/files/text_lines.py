"""The lines of a table in text, checked as bytes: those of a long table do not go through Python."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

BLOCK = 1 << 22  # bytes that are checked at once
QUOTE, NEWLINE, RETURN = (ord(character) for character in '"\n\r')


def check_lines(text: Path, separator: str, width: int, skip_lines: int) -> list[int] | None:
    """Return the blank records, or None if the csv module must read the table.

    It must where a record seems to have another number of cells than `width`, or a quote stands within a
    cell, as in 7" pipe. Separators and line ends count where the number of quotes before them is even.
    """
    blank: list[int] = []
    record = cells = quotes = at = 0
    last_end, last = -1, NEWLINE
    with text.open("rb") as file:
        for _ in range(skip_lines):
            file.readline()
        while piece := file.read(BLOCK):
            codes = np.frombuffer(piece, np.uint8)
            is_end, is_cell, is_quote = codes == NEWLINE, codes == ord(separator), codes == QUOTE
            if quotes % 2 or last == QUOTE or is_quote.any():
                outside = (np.cumsum(is_quote, dtype=np.int32) + quotes) % 2 == 0
                if has_quote_within_cell(codes, outside, last, quotes % 2 == 0, ord(separator)):
                    return None
                is_end, is_cell = is_end & outside, is_cell & outside
                quotes += int(is_quote.sum())
            ends = np.flatnonzero(is_end)
            if len(ends):
                counts = np.searchsorted(np.flatnonzero(is_cell), ends)
                per_record = np.diff(counts, prepend=-cells)
                lengths = np.diff(ends, prepend=last_end - at) - 1
                is_blank = lengths == 0
                # The line end of Windows is two characters; the first may be in the piece before.
                before_end = codes[np.maximum(ends - 1, 0)]
                is_blank |= (lengths == 1) & ((before_end == RETURN) | ((ends == 0) & (last == RETURN)))
                if width == 1:
                    is_blank[:] = False
                if (per_record[~is_blank] != width - 1).any():
                    return None
                blank += (record + np.flatnonzero(is_blank)).tolist()
                record += len(ends)
                last_end = at + int(ends[-1])
                cells = -int(counts[-1])
            cells += int(is_cell.sum())
            at += len(piece)
            last = piece[-1]
    has_rest = at - last_end > 1  # after the last line end
    return None if quotes % 2 or (has_rest and cells != width - 1) else blank


def has_quote_within_cell(
    codes: NDArray[np.uint8], outside: NDArray[np.bool_], last: int, was_outside: bool, separator: int
) -> bool:
    """Return whether a quote opens after the begin of a cell, or closes before its end.

    An even number of such quotes would hide separators and line ends. `outside` says of each byte whether
    the number of quotes up to it is even, `was_outside` of the byte `last`, which comes before them.
    """
    before = np.concatenate((np.array([last], np.uint8), codes[:-1]))
    was = np.concatenate(([was_outside], outside[:-1]))
    opening = before[was & (codes == QUOTE)]  # a quote after a quote is a doubled one
    following = codes[was & (before == QUOTE)]
    return not (
        np.isin(opening, (separator, NEWLINE, QUOTE)).all()
        and np.isin(following, (separator, NEWLINE, RETURN, QUOTE)).all()
    )
