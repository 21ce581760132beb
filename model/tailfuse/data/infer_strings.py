"""What a column of strings holds that is neither a number nor a category: texts, dates or identifiers."""

import re

import numpy as np
import polars as pl

from tailfuse.files.measured_texts import take_sample

MANY_CATEGORIES = 255  # more different long texts are no categories
LONG_TEXT = 4  # words

ADDRESS = re.compile(r"\S+://\S+|\S+@\S+|www\.\S+")  # of a page or of mail


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
