"""What a column of strings holds that is neither a number nor a category: texts, dates or identifiers."""

import re

import numpy as np
import polars as pl

SAMPLE = 200  # values looked at, where looking at all would be slow
MANY_CATEGORIES = 255  # more different long texts are no categories
MIN_SHARE = 0.9  # of the values that look like dates; the others may be odd cells
LONG_TEXT = 4  # words

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
ADDRESS = re.compile(r"\S+://\S+|\S+@\S+|www\.\S+")  # of a page or of mail


def looks_like_dates(values: pl.Series) -> bool:
    """Return whether the values are dates or times, in a type of their own or as text."""
    if values.dtype != pl.String:
        return values.dtype.is_temporal()
    sample = take_sample(values)
    return sum(DATE_OR_TIME.fullmatch(value) is not None for value in sample) > MIN_SHARE * len(sample)


def looks_like_text(values: pl.Series) -> bool:
    """Return whether the values are free texts: long ones, or short ones that are mostly different."""
    n_distinct = values.n_unique()
    mostly_different = n_distinct > len(values) / 2
    if is_long_text(values):
        return mostly_different or n_distinct > MANY_CATEGORIES
    return mostly_different and not looks_like_identifiers(values)


def is_long_text(values: pl.Series) -> bool:
    """Return whether the values are of several words each."""
    return bool(np.median([len(value.split()) for value in take_sample(values)]) >= LONG_TEXT)


def looks_like_identifiers(values: pl.Series) -> bool:
    """Return whether mostly different strings are codes rather than words.

    They are where most have a digit and no space (x12, 9f86d081) or are addresses, where most differ in
    their digits only (Sample 0012), or where all are one word of the same length (ABCD).
    """
    sample = take_sample(values)
    if sum(is_code(value) for value in sample) > len(sample) / 2:
        return True
    if len({re.sub(r"\d+", "0", value) for value in sample}) < len(set(sample)) / 2:
        return True
    return len({len(value) for value in sample}) == 1 and all(
        value.isascii() and len(value.split()) == 1 for value in sample
    )


def is_code(value: str) -> bool:
    """Return whether one string is an address, has no letter, or has a digit and no space."""
    has_digit = any(sign.isdecimal() for sign in value)
    has_letter = any(sign.isalpha() for sign in value)
    return ADDRESS.fullmatch(value) is not None or not has_letter or (has_digit and len(value.split()) == 1)


def take_sample(values: pl.Series) -> list[str]:
    """Return some of the values, from everywhere in the column: a table may be sorted."""
    return values.gather_every(max(1, len(values) // SAMPLE)).head(SAMPLE).to_list()
