"""The records of a text table, as the csv module reads them, but for a quote that is never closed.

csv accepts it: one quote too many makes one cell of all rows after it.
"""

import csv
from collections.abc import Iterable, Iterator


class RecordError(ValueError):
    """A record that cannot be read, which begins at line `line`, counted from 1."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(f"line {line}: {reason}")
        self.line = line
        self.reason = reason


def iterate_records(lines: Iterable[str], separator: str = ",") -> Iterator[tuple[int, list[str]]]:
    """Yield each record, and the number of its last line. Raises RecordError."""
    is_over = False

    def iterate() -> Iterator[str]:
        nonlocal is_over
        yield from lines
        is_over = True

    records, line = csv.reader(iterate(), delimiter=separator), 0
    try:
        for record in records:
            if is_over:  # the reader has asked for one more line, to go on in a quote
                raise RecordError(line + 1, "a quote opens in this row, and is never closed")
            line = records.line_num
            yield line, record
    except csv.Error as error:
        raise RecordError(line + 1, str(error)) from None
