"""The text kind: plain text, of one column or several."""

from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from tailfuse_service.modalities.limits import DEFAULT_LIMITS, Limits
from tailfuse_service.modalities.modality import Modality, Summary, SummaryValues
from tailfuse_service.modalities.tensor import BYTES, Tensor, TensorForm, decode_text, read_elements
from tailfuse_service.modalities.text.features import TextFeatures


class TextModality(Modality):
    """int64 rows of hashed n-grams (1..`buckets`), padded with 0."""

    part: ClassVar[Literal["text"]] = "text"
    part_description: ClassVar[str] = "Plain text, in UTF-8."
    media_type: ClassVar[str] = "text/plain"

    kind: Literal["text"] = "text"
    columns: tuple[str, ...]
    tokenizer: Literal[1, 2] = 1  # version 1 in bundles that were written before there were versions
    buckets: int = Field(ge=1, le=2**24)
    ngrams: int = Field(ge=1, le=16)
    max_tokens: int = Field(ge=1, le=2**20)
    missing: tuple[str, ...] | None = None  # texts that are no value; older bundles do not say

    @property
    def column_names(self) -> tuple[str, ...]:
        return self.columns

    def features(self, name: str, limits: Limits = DEFAULT_LIMITS) -> TextFeatures:
        return TextFeatures(
            name, columns=self.columns, tokenizer=self.tokenizer, buckets=self.buckets,
            ngrams=self.ngrams, max_tokens=self.max_tokens, missing=self.missing or (), limits=limits,
        )  # fmt: skip

    def input_schema(self) -> dict[str, Any]:
        if len(self.columns) == 1:
            return {"description": "Plain text.", "type": ["string", "null"]}
        columns = {column: {"type": ["string", "null"]} for column in self.columns}
        by_column = {"type": "object", "properties": columns, "additionalProperties": False}
        return {
            "description": "Plain text, or an object with the text of each column.",
            "anyOf": [{"type": "string"}, by_column, {"type": "null"}],
        }

    def example(self) -> str:
        return "A few words about the sample."

    def tensor_form(self) -> TensorForm:
        return TensorForm(BYTES, columns=self.columns)

    def read_tensor(self, tensor: Tensor, limits: Limits = DEFAULT_LIMITS) -> list[Any]:
        elements = read_elements(tensor, tensor.name)
        return [decode_text(element, tensor.name, None, row) or None for row, element in enumerate(elements)]

    def read_column(self, tensor: Tensor, name: str, column: str) -> list[Any]:
        known = self.columns if len(self.columns) > 1 else ()
        if column not in known:
            raise self.unknown_column(name, column, known)
        elements = read_elements(tensor, name)
        return [decode_text(element, name, column, row) or None for row, element in enumerate(elements)]

    def summary(self) -> Summary:
        """How many n-grams, the share of them that came before, and the mean of their buckets, 0..1.

        Hashes are random, but the same word always has the same one: other words have another mean.
        """

        def compute(rows: NDArray[Any]) -> SummaryValues:
            words = (rows > 0).sum(1)
            ordered = np.sort(rows, axis=1)
            repeated = ((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] > 0)).sum(1)
            count = np.maximum(words, 1)
            values = np.stack([words, repeated / count, rows.sum(1) / count / self.buckets], axis=1)
            return values.astype(np.float32)

        return Summary(["words", "repeats", "vocabulary"], compute)
