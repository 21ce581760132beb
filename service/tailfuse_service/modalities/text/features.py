"""Text features: the texts of a modality's columns, joined, as the row that its encoder takes."""

from collections.abc import Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from tailfuse_service.errors import InvalidInput, UnknownColumn
from tailfuse_service.modalities.json_text import json_type
from tailfuse_service.modalities.limits import DEFAULT_LIMITS, Limits, make_text_too_long
from tailfuse_service.modalities.tabular.spelling import MissingTexts
from tailfuse_service.modalities.text.bag_rows import BagRows
from tailfuse_service.modalities.text.bert_rows import BertRows
from tailfuse_service.modalities.text.sparse_rows import SparseRows

MAX_SPACES = 64  # around a text that is no value; a longer text is not looked at


class TextFeatures:
    """The text of one sample, or the texts of its columns, as the row of its encoder."""

    def __init__(
        self, name: str, *, columns: Sequence[str], rows: BagRows | SparseRows | BertRows,
        missing: Sequence[str] = (), limits: Limits = DEFAULT_LIMITS,
    ) -> None:  # fmt: skip
        self.name = name
        self.columns = columns
        self.rows = rows
        self.stack = rows.stack
        self._max_chars = limits.max_text_chars
        self._missing = MissingTexts(missing)
        self._longest_missing = max(map(len, missing), default=0)

    def apply(self, raw: Any) -> NDArray[Any] | None:
        """Return the row of one text; None if it has no token, or none that says anything."""
        text = self.join(raw)
        if len(text) > self._max_chars:
            raise make_text_too_long(
                f"modality '{self.name}'", len(text), self._max_chars, modality=self.name
            )
        return self.rows.apply(text)

    def join(self, raw: Any) -> str:
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
        return self._missing.has(text)
