"""Texts that spell a point in time or a quantity: as categories, those of later rows are unknown."""

import re
from collections import Counter

import polars as pl

SAMPLE = 200  # values looked at, where looking at all would be slow
MIN_SHARE = 0.9  # of the values that look like dates or quantities; the others may be odd cells
MIN_QUANTITIES = 3  # different ones; fewer may well be two sizes

DAY, MONTH, YEAR = r"(0?[1-9]|[12]\d|3[01])", r"(0?[1-9]|1[0-2])", r"(1[89]|20)\d\d"
MONTH_NAME = r"(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?"
DATE = "|".join(
    (
        rf"{YEAR}[-/.]{MONTH}([-/.]{DAY})?",
        rf"{DAY}[-/.]{DAY}[-/.]({YEAR}|\d\d)",
        rf"{DAY}[ .-]+{MONTH_NAME}[ ,.-]+({YEAR}|\d\d)",
        rf"{MONTH_NAME} ({DAY},? )?{YEAR}",
    )
)
TIME = r"\d{1,2}:\d\d(:\d\d([.,]\d+)?)?( ?[ap]m)?( ?(z|utc|[+-]\d\d:?\d\d))?"
DATE_OR_TIME = re.compile(rf"(\w+, )?({DATE})([t ,]+{TIME})?|{TIME}", re.IGNORECASE | re.ASCII)
QUANTITY = re.compile(r"[+-]?\d[\d.,]* ?(?P<unit>([^\W\d_]|[°'\"′″])[^\s\d]*)")


def looks_like_dates(values: pl.Series) -> bool:
    """Return whether the values are dates or times, in a type of their own or as text."""
    if values.dtype != pl.String:
        return values.dtype.is_temporal()
    sample = take_sample(values)
    return sum(DATE_OR_TIME.fullmatch(value) is not None for value in sample) > MIN_SHARE * len(sample)


def describe_measured(values: pl.Series) -> str | None:
    """Return why different texts are no categories that come again, and what to do; None if they may be."""
    if looks_like_dates(values):
        return (
            f"its values are dates or times, such as {values[0]!r:.40}, and later ones are unknown "
            "categories; add a column with what matters of them, such as the year, the weekday or an age "
            "in days"
        )
    if unit := find_unit(values):
        return (
            f"its values are quantities with the unit {unit!r}, such as {values[0]!r:.40}, and other ones "
            "are unknown categories; write the numbers alone"
        )
    return None


def find_unit(values: pl.Series) -> str | None:
    """Return the unit of different quantities, such as kg of 5 kg and 7 kg; None if they share none."""
    sample = take_sample(values)
    units = Counter(match["unit"] for value in sample if (match := QUANTITY.fullmatch(value)))
    for unit, count in units.most_common(1):
        if count >= MIN_QUANTITIES and count > MIN_SHARE * len(sample):
            return unit
    return None


def take_sample(values: pl.Series) -> list[str]:
    """Return some of the values, from everywhere in the column: a table may be sorted."""
    return values.gather_every(max(1, len(values) // SAMPLE)).head(SAMPLE).to_list()
