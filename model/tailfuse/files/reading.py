"""How a table file is read: the keys of the spec that say so, kept in the bundle for tables read later."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

# What Excel, R, SQL and pandas write for no value. "None" and "-" are not among them: they may be values.
DEFAULT_MISSING = ("NA", "N/A", "n/a", "NaN", "nan", "NULL", "null", "<NA>", "#N/A")
# Of bundles whose spec has no `missing` yet.
OLDER_MISSING = ("NA", "N/A", "NaN", "nan", "null", "NULL")


@dataclass(frozen=True, slots=True)
class Reading:
    """Settings of a table that its file need not show. None: find out, and refuse what is doubtful.

    An empty cell is always missing; `missing` are the texts that are missing as well.
    """

    separator: str | None = None
    decimal: Literal[".", ","] | None = None
    encoding: str | None = None
    missing: tuple[str, ...] = DEFAULT_MISSING
    # Of the training table. They hold for a file that is not UTF-8, or whose lines fit several separators.
    usual_separator: str | None = None
    usual_encoding: str | None = None


DEFAULT_READING = Reading()


def make_reading(written: Mapping[str, Any]) -> Reading:
    """Return how the tables of a bundle are read, from the spec in its manifest.

    A table that is read later may have another separator or encoding than the training table.
    """
    return Reading(
        decimal=written.get("decimal"),
        missing=tuple(written.get("missing", OLDER_MISSING)),
        usual_separator=written.get("separator"),
        usual_encoding=written.get("encoding"),
    )


def check_separator(separator: str) -> str:
    """Return the character; the word tab is one. Raises ValueError."""
    separator = {"tab": "\t", "\\t": "\t"}.get(separator, separator)
    if len(separator) != 1 or not separator.isascii() or separator in '"\r\n':
        raise ValueError("takes one character, or tab")
    return separator


def check_encoding(encoding: str) -> str:
    """Return the encoding if Python knows it. Raises ValueError."""
    try:
        "".encode(encoding)
    except LookupError:
        raise ValueError("is no encoding that Python knows; latin-1 or utf-16, for example") from None
    return encoding
