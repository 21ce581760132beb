"""Tables in Markdown."""

import html
import re
from collections.abc import Iterable, Sequence

HEADER = "<!-- Written by `make files` from the code; do not edit. -->\n"
CODE_WITH_BAR = re.compile(r"`([^`|]*\|[^`]*)`")


def make_table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table. Cells are put on one line, and a `|` in them is written as `&#124;`.

    >>> print(make_table(["key", "meaning"], [["a", "one|two"]]))
    | key | meaning |
    |---|---|
    | a | one&#124;two |
    """
    lines = [make_line(head), "|" + "---|" * len(head), *map(make_line, rows)]
    return "\n".join(lines)


def make_line(cells: Sequence[object]) -> str:
    """Return one line of a table."""
    return f"| {' | '.join(map(escape_cell, cells))} |"


def escape_cell(cell: object) -> str:
    """Return a cell on one line, with a `|` in it as a character reference, also in code."""
    text = " ".join(str(cell).split())
    text = CODE_WITH_BAR.sub(lambda match: f"<code>{html.escape(match[1], quote=False)}</code>", text)
    return text.replace("|", "&#124;")
