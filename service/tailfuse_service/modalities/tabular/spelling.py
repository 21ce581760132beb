"""How a cell is spelled: the one rule for numbers, truth values and known names.

Training, tables, JSON, forms, tensors and the client all come here, so that one cell means one thing.
"""

import math
import re
import unicodedata
from collections.abc import Sequence
from decimal import Context, Decimal
from typing import Any, Literal

from tailfuse_service.modalities.modality import Frozen

NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
LEADING_ZERO = re.compile(r"[+-]?0\d", re.ASCII)  # a code such as 007 rather than a number
BOOLEANS = {"true": True, "false": False, "1": True, "0": False, "1.0": True, "0.0": False}
UNITS = "%$€£¥₹"
# Spaces that do not break, the typographic apostrophe and the minus sign mean what ASCII's do in a number.
TYPOGRAPHIC = str.maketrans("\u00a0\u202f\u2009\u2019\u2212", "   '-")
MAX_NUMBER_CHARS = 400  # the largest float has 309 digits; a longer text is no number
MAX_NAME_CHARS = 1000  # of a name whose accents are composed: the time for it grows quadratically
EXACT = Context(prec=MAX_NUMBER_CHARS)


class NumberFormat(Frozen):
    """The format of a column's numbers in text: 1234.5, or 1.234,50 €."""

    decimal: Literal[".", ","] = "."
    thousands: Literal["", ",", ".", " ", "'"] = ""
    unit: str = ""  # a currency or %, before or after the number; it may be left out


PLAIN = NumberFormat()


def parse_number(text: str, style: NumberFormat = PLAIN) -> float | None:
    """Return the number that a text spells, None if it spells none. Infinity and NaN are no numbers.

    A minus sign and the spaces and apostrophes between thousands may be typographic ones.

    >>> parse_number(" 1.5e3 ")
    1500.0
    >>> parse_number("1.234,50 €", NumberFormat(decimal=",", thousands=".", unit="€"))
    1234.5
    """
    text = use_ascii(text)
    if len(text) > MAX_NUMBER_CHARS:
        return None
    if style.unit:
        text = text.removeprefix(style.unit).removesuffix(style.unit).strip()
        if text[:1] in ("+", "-"):  # -$5
            text = text[0] + text[1:].removeprefix(style.unit).strip()
    if style.thousands and style.thousands in text:
        whole, mark, rest = text.partition(style.decimal)
        first, *groups = whole.split(style.thousands)
        if not re.fullmatch(r"[+-]?\d{1,3}", first, re.ASCII) or style.thousands in rest:
            return None
        if not all(re.fullmatch(r"\d{3}", group, re.ASCII) for group in groups):
            return None
        text = first + "".join(groups) + mark + rest
    if style.decimal == ",":
        if "." in text:
            return None
        text = text.replace(",", ".")
    if not NUMBER.fullmatch(text):
        return None
    number = float(text)
    return number if math.isfinite(number) else None


def use_ascii(text: str) -> str:
    """Return the text of a number without typographic characters, and without the spaces around it."""
    return (text if text.isascii() else text.translate(TYPOGRAPHIC)).strip()


def parse_boolean(text: str) -> bool | None:
    """Return the truth value that a text spells: true, false, 1 or 0, in any case; None for another text."""
    return BOOLEANS.get(text.strip().lower())


def spell(value: bool | int | float | str) -> str:
    """Return a value as a category: whole numbers without a point, since a gap makes 3 a 3.0.

    >>> spell(3.0), spell(0.5), spell(True), spell("3.0")
    ('3', '0.5', 'true', '3.0')
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**63:
        return str(int(value))
    return str(value)


class KnownNames:
    """Finds known names, categories or classes, by what a cell says.

    A cell is the name that is spelled alike. Else spaces around it and the form of its accents do not count.
    Else a number or a truth value is the name that has the same value, if only one has: 3.0 is "3", and
    True is "TRUE". So "250.0" and "250.00" stay apart where both are known.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._exact = {name: at for at, name in enumerate(names)}
        self._by_key: dict[str, int | None] = {}
        for at, name in enumerate(names):
            for key in (normalise(name), make_value_key(name)):
                if key is not None:
                    self._by_key[key] = at if self._by_key.get(key, at) == at else None

    def find(self, value: bool | int | float | str) -> int | None:
        """Return the index of the name that a cell means, None if it is unknown or means several."""
        text = value if isinstance(value, str) else spell(value)
        at = self._exact.get(text)
        if at is not None:
            return at
        if (key := normalise(text)) in self._by_key:
            return self._by_key[key]
        value_key = make_value_key(text)
        return None if value_key is None else self._by_key.get(value_key)


class MissingTexts:
    """The texts that are no value. A number among them is none however it is spelled: -999 is -999.0, too."""

    def __init__(self, texts: Sequence[str]) -> None:
        self.texts = frozenset(text.strip() for text in ("", *texts))
        self.numbers = frozenset(number for text in self.texts if (number := parse_number(text)) is not None)

    def has(self, value: Any) -> bool:
        """Return whether a cell is missing. A truth value is none of the numbers 1 and 0."""
        if isinstance(value, str):
            return value.strip() in self.texts or (bool(self.numbers) and parse_number(value) in self.numbers)
        return isinstance(value, int | float) and not isinstance(value, bool) and value in self.numbers


def normalise(text: str) -> str:
    """Return a name without the spaces around it; its accents are composed (NFC) unless it is very long."""
    text = text.strip()
    return unicodedata.normalize("NFC", text) if len(text) <= MAX_NAME_CHARS else text


def make_value_key(text: str) -> str | None:
    """Return one key for all spellings of a number or a truth value; None for other texts, and for codes."""
    text = use_ascii(text)
    if text.lower() in ("true", "false"):
        return f"truth {text.lower()}"
    number = None if LEADING_ZERO.match(text) else parse_number(text)
    if number is None:
        return None
    # Not as a float: ids of 20 digits that differ in the last one are two names. What is nearer to 0 than
    # any float is 0, as in a column of numbers, and so is -0.
    return f"number {Decimal(text).normalize(EXACT):f}" if number else "number 0"


def unify(text: str) -> str:
    """Return the one spelling of a name that stands for all spellings of its number or truth value.

    >>> unify("5.00"), unify("TRUE"), unify(" 007 ")
    ('5', 'true', '007')
    """
    key = make_value_key(text)
    return normalise(text) if key is None else key.partition(" ")[2]
