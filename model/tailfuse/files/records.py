"""The records of a text table, as the csv module reads them, but for quotes that swallow rows.

csv accepts a quote that is never closed, and text after a closing quote: one quote too many makes one cell of
all rows up to the next quote.
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
    own_lines: list[str] = []  # of the record that is read

    def iterate() -> Iterator[str]:
        nonlocal is_over
        for line in lines:
            own_lines.append(line)
            yield line
        is_over = True

    records, line = csv.reader(iterate(), delimiter=separator), 0
    try:
        for record in records:
            if is_over:  # the reader has asked for one more line, to go on in a quote
                raise RecordError(line + 1, "a quote opens in this row, and is never closed")
            if len(own_lines) > 1 and has_text_after_quote(own_lines, separator):
                reason = "a quote opens in this row, and the next quote, in a later row, does not end a cell"
                raise RecordError(line + 1, reason)
            line = records.line_num
            own_lines.clear()
            yield line, record
    except csv.Error as error:
        raise RecordError(line + 1, str(error)) from None


def has_text_after_quote(lines: Iterable[str], separator: str) -> bool:
    """Return whether a closing quote within a record is not the end of its cell."""
    try:
        list(csv.reader(lines, delimiter=separator, strict=True))
    except csv.Error:
        return True
    return False
