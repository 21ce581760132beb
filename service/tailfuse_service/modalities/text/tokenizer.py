"""Tokenizers: a text becomes the n-grams that are hashed. Training and serving share them.

A bundle names the version that it was trained with, so a version never changes once it has been released.
"""

import re
from collections.abc import Callable
from itertools import islice
from typing import Literal

from tailfuse_service.modalities.text import ascii_tokens, unicode_tokens
from tailfuse_service.modalities.text.tokens import Tokens

WORD = re.compile(r"\w+")
CHARS_PER_TOKEN = 16  # a word of English has 6 with its space, one of German 7

Tokenize = Callable[[str, int], Tokens]  # a text and the most tokens that are wanted of it


def tokenize_word_characters(text: str, limit: int) -> Tokens:
    """Version 1: runs of letters, digits and underscores, as Python's `re` knows them."""
    found = islice(WORD.finditer(text.lower()), limit)
    return Tokens([match.group().encode() for match in found])


def tokenize_unicode(text: str, limit: int) -> Tokens:
    """Version 2: words by the rules of Unicode's annex 29, symbols, and runs of scripts without spaces."""
    text = shorten(text, limit)
    if not text.isascii():
        text = unicode_tokens.fold_typography(text)
    # Both give the same tokens for ASCII; the first takes a third of the time.
    find = ascii_tokens.find_tokens if text.isascii() else unicode_tokens.find_tokens
    return find(text, limit)


def shorten(text: str, limit: int) -> str:
    """Return the part of a text that has its first `limit` tokens, unless they are very long.

    So the time that a text takes has a bound, however long it is. Spaces count once.
    """
    cut = limit * CHARS_PER_TOKEN
    return text if len(text) <= cut else " ".join(text.split(maxsplit=limit)[:limit])[:cut]


TOKENIZERS: dict[int, Tokenize] = {1: tokenize_word_characters, 2: tokenize_unicode}
LATEST_TOKENIZER: Literal[2] = 2  # for new bundles
