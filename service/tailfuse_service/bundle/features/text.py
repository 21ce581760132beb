"""Text features: words and their n-grams, hashed into buckets."""

import re
import zlib
from collections.abc import Mapping
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tailfuse_service.bundle.features.tabular import json_type
from tailfuse_service.bundle.limits import DEFAULT_LIMITS, Limits, text_too_long
from tailfuse_service.bundle.manifest import TextModality
from tailfuse_service.errors import InvalidInput, UnknownColumn

WORD = re.compile(r"\w+")


class TextFeatures:
    """A text as int64 of shape (tokens,): hashed n-grams in 1..buckets; stacking pads with 0."""

    def __init__(self, name: str, modality: TextModality, limits: Limits = DEFAULT_LIMITS) -> None:
        self.name = name
        self.modality = modality
        self._max_chars = limits.max_text_chars

    def apply(self, raw: Any) -> NDArray[np.int64] | None:
        """The hashed n-grams of one text, at most max_tokens; None if it has no word."""
        text = self._text(raw)
        if len(text) > self._max_chars:
            raise text_too_long(f"modality '{self.name}'", len(text), self._max_chars, modality=self.name)
        # Single words come first: no word after max_tokens of them can matter.
        found = islice(WORD.finditer(text.lower()), self.modality.max_tokens)
        words = [match.group() for match in found]
        grams = [
            " ".join(words[start : start + size])
            for size in range(1, self.modality.ngrams + 1)
            for start in range(len(words) - size + 1)
        ]
        if not grams:
            return None
        hashes = [
            1 + zlib.crc32(gram.encode()) % self.modality.buckets
            for gram in grams[: self.modality.max_tokens]
        ]
        return np.array(hashes, np.int64)

    def stack(self, rows: list[NDArray[np.int64]]) -> NDArray[np.int64]:
        longest = max((len(row) for row in rows), default=1)
        padded = np.zeros((len(rows), longest), np.int64)
        for i, row in enumerate(rows):
            padded[i, : len(row)] = row
        return padded

    def schema(self) -> dict[str, Any]:
        text: dict[str, Any] = {"type": "string"}
        if len(self.modality.columns) == 1:
            return {"description": "Plain text.", "type": ["string", "null"]}
        columns = {column: {"type": ["string", "null"]} for column in self.modality.columns}
        by_column = {"type": "object", "properties": columns, "additionalProperties": False}
        return {
            "description": "Plain text, or an object with the text of each column.",
            "anyOf": [text, by_column, {"type": "null"}],
        }

    def _text(self, raw: Any) -> str:
        if isinstance(raw, str):
            return raw
        if not isinstance(raw, Mapping):
            raise InvalidInput(
                f"modality '{self.name}': expected a string, not {json_type(raw)}",
                modality=self.name, expected="string", received=json_type(raw),
            )  # fmt: skip
        for column, value in raw.items():
            if column not in self.modality.columns:
                raise UnknownColumn(
                    f"modality '{self.name}' has no column '{column}'",
                    modality=self.name, column=column, expected=list(self.modality.columns),
                )  # fmt: skip
            if value is not None and not isinstance(value, str):
                raise InvalidInput(
                    f"modality '{self.name}', column '{column}': expected a string, not {json_type(value)}",
                    modality=self.name, column=column, expected="string", received=json_type(value),
                )  # fmt: skip
        # In the manifest's order, so that the order of a caller's keys never matters.
        return "\n".join(raw[column] for column in self.modality.columns if raw.get(column))
