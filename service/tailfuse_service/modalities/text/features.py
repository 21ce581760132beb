"""Text features: the n-grams of a text, hashed into buckets."""

from collections.abc import Mapping, Sequence
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from tailfuse_service.errors import InvalidInput, UnknownColumn
from tailfuse_service.modalities.json_text import json_type
from tailfuse_service.modalities.limits import DEFAULT_LIMITS, Limits, make_text_too_long
from tailfuse_service.modalities.text.tokenizer import TOKENIZERS

MAX_SPACES = 64  # around a text that is no value; a longer text is not looked at


class TextFeatures:
    """A text as int64 of shape (tokens,): hashed n-grams in 1..buckets; stacking pads with 0."""

    def __init__(
        self, name: str, *, columns: Sequence[str], tokenizer: int, buckets: int, ngrams: int,
        max_tokens: int, missing: Sequence[str] = (), limits: Limits = DEFAULT_LIMITS,
    ) -> None:  # fmt: skip
        self.name = name
        self._tokenize = TOKENIZERS[tokenizer]
        self.columns = columns
        self.buckets, self.ngrams, self.max_tokens = buckets, ngrams, max_tokens
        self._max_chars = limits.max_text_chars
        self._missing = frozenset(missing)
        self._longest_missing = max(map(len, missing), default=0)

    def apply(self, raw: Any) -> NDArray[np.int64] | None:
        """Return the hashed n-grams of one text, at most max_tokens; None if it has no token."""
        text = self._join(raw)
        if len(text) > self._max_chars:
            raise make_text_too_long(
                f"modality '{self.name}'", len(text), self._max_chars, modality=self.name
            )
        # Single words come first, so no word after the first max_tokens matters.
        ngrams = self._tokenize(text, self.max_tokens).make_ngrams(self.ngrams)[: self.max_tokens]
        if not ngrams:
            return None
        hashes = np.fromiter(map(crc32, ngrams), np.int64, len(ngrams))
        return 1 + hashes % self.buckets

    def stack(self, rows: list[NDArray[np.int64]]) -> NDArray[np.int64]:
        longest = max((len(row) for row in rows), default=1)
        padded = np.zeros((len(rows), longest), np.int64)
        for i, row in enumerate(rows):
            padded[i, : len(row)] = row
        return padded

    def _join(self, raw: Any) -> str:
        """Return a text, or the texts of all columns as one. Raises InvalidInput, UnknownColumn."""
        if isinstance(raw, str):
            return "" if self._is_missing(raw) else raw
        if not isinstance(raw, Mapping):
            raise InvalidInput(
                f"modality '{self.name}': expected a string, not {json_type(raw)}",
                modality=self.name, expected="string", received=json_type(raw),
            )  # fmt: skip
        for column, value in raw.items():
            if column not in self.columns:
                raise UnknownColumn(
                    f"modality '{self.name}' has no column '{column}'",
                    modality=self.name, column=column, expected=list(self.columns),
                )  # fmt: skip
            if value is not None and not isinstance(value, str):
                raise InvalidInput(
                    f"modality '{self.name}', column '{column}': expected a string, not {json_type(value)}",
                    modality=self.name, column=column, expected="string", received=json_type(value),
                )  # fmt: skip
        # In the manifest's order, so that the order of a client's keys does not matter.
        texts = (raw.get(column) for column in self.columns)
        return "\n".join(text for text in texts if text and not self._is_missing(text))

    def _is_missing(self, text: str) -> bool:
        """Return whether a text is one of those that are no value, such as NA."""
        if len(text) > self._longest_missing + MAX_SPACES:
            return False
        return text.strip() in self._missing
