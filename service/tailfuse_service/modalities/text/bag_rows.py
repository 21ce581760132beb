"""A text as a row of hashed n-grams, in the order of the text."""

from collections.abc import Callable
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from tailfuse_service.modalities.text.tokens import Tokens


class BagRows:
    """Texts as int64 of shape (tokens,): hashed n-grams in 1..buckets; stacking pads with 0."""

    def __init__(
        self, tokenize: Callable[[str, int], Tokens], *, ngrams: int, max_tokens: int, buckets: int
    ) -> None:
        self._tokenize = tokenize
        self.buckets, self.ngrams, self.max_tokens = buckets, ngrams, max_tokens

    def apply(self, text: str) -> NDArray[np.int64] | None:
        """Return the hashed n-grams of one text, at most max_tokens; None if it has no token."""
        # Single words come first, so no word after the first max_tokens matters.
        ngrams = self._tokenize(text, self.max_tokens).make_ngrams(self.ngrams)[: self.max_tokens]
        if not ngrams:
            return None
        hashes = np.fromiter(map(crc32, ngrams), np.int64, len(ngrams))
        return 1 + hashes % self.buckets

    def stack(self, rows: list[NDArray[np.int64]]) -> NDArray[np.int64]:
        return pad_tokens(rows)


def pad_tokens(rows: list[NDArray[np.int64]]) -> NDArray[np.int64]:
    """Return rows (tokens,) as one array (n, longest), padded with 0."""
    longest = max((len(row) for row in rows), default=1)
    padded = np.zeros((len(rows), longest), np.int64)
    for i, row in enumerate(rows):
        padded[i, : len(row)] = row
    return padded
