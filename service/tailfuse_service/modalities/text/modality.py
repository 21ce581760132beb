"""The text kind: plain text, of one column or several."""

import hashlib
from collections.abc import Callable
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Base64Bytes, Field, model_validator

from tailfuse_service.modalities.limits import DEFAULT_LIMITS, Limits
from tailfuse_service.modalities.modality import Modality, Summary, SummaryValues
from tailfuse_service.modalities.tensor import BYTES, Tensor, TensorForm, decode_text, read_elements
from tailfuse_service.modalities.text.bag_rows import BagRows
from tailfuse_service.modalities.text.bert_rows import BertRows, unpack_tokenizer
from tailfuse_service.modalities.text.features import TextFeatures
from tailfuse_service.modalities.text.sparse_rows import TOKEN_IDS, WORD_NGRAMS_FROM, SparseRows
from tailfuse_service.modalities.text.tokenizer import TOKENIZERS


def check_hashes(known: bytes) -> bytes:
    """Check that bytes are whole 32-bit numbers. Raises ValueError."""
    if len(known) % 4:
        raise ValueError("must hold whole numbers of 32 bits")
    return known


class TextModality(Modality):
    """Rows of hashed n-grams or of tokens, padded with 0.

    For the encoders `bag` and `bert` int64 in 1..`buckets`; for `lsa` int32 pairs of an n-gram's id and its
    count. The buckets of `bert` are the tokens of its vocabulary.
    """

    part: ClassVar[Literal["text"]] = "text"
    part_description: ClassVar[str] = "Plain text, in UTF-8."
    media_type: ClassVar[str] = "text/plain"

    kind: Literal["text"] = "text"
    encoder: Literal["bag", "lsa", "bert"] = "bag"  # older bundles do not say
    columns: tuple[str, ...]
    tokenizer: Literal[1, 2] = 1  # version 1 in bundles that were written before there were versions
    buckets: int = Field(ge=1, le=2**24)
    ngrams: int = Field(ge=1, le=16)
    max_tokens: int = Field(ge=1, le=2**20)
    missing: tuple[str, ...] | None = None  # texts that are no value; older bundles do not say
    # Of lsa and bert: how many numbers the graph makes of a text.
    dimensions: int | None = Field(default=None, ge=1)
    # Of lsa: the hashes of the shortest n-grams of all training texts (uint32, little-endian). A text that
    # has none of them says nothing.
    known: Annotated[Base64Bytes, AfterValidator(check_hashes)] | None = None
    # Of bert: its tokenizer.json, compressed, and the sha256 of that file and of the weights.
    tokenizer_json: Base64Bytes | None = None
    tokenizer_sha256: str | None = None
    weights_sha256: str | None = None
    # Where training chose the encoder: the held-out loss of each that was tried.
    trial_losses: dict[str, float] | None = None

    @model_validator(mode="after")
    def _encoder_is_fitted(self) -> Self:
        if self.encoder == "lsa" and (self.dimensions is None or self.known is None):
            raise ValueError("the encoder lsa needs dimensions and known n-grams")
        if self.encoder == "bert":
            if self.dimensions is None or self.tokenizer_json is None:
                raise ValueError("the encoder bert needs dimensions and a tokenizer")
            if hashlib.sha256(unpack_tokenizer(self.tokenizer_json)).hexdigest() != self.tokenizer_sha256:
                raise ValueError("the tokenizer is damaged: its sha256 is not tokenizer_sha256")
        return self

    @property
    def column_names(self) -> tuple[str, ...]:
        return self.columns

    def features(self, name: str, limits: Limits = DEFAULT_LIMITS) -> TextFeatures:
        return TextFeatures(
            name, columns=self.columns, rows=self.make_rows(), missing=self.missing or (), limits=limits
        )

    def make_rows(self) -> BagRows | SparseRows | BertRows:
        """Make what turns a text into a row. Raises BundleError."""
        if self.encoder == "bert":
            return BertRows(self.tokenizer_json or b"", max_tokens=self.max_tokens)
        tokenize = TOKENIZERS[self.tokenizer]
        if self.encoder == "bag":
            return BagRows(tokenize, ngrams=self.ngrams, max_tokens=self.max_tokens, buckets=self.buckets)
        return SparseRows(tokenize, ngrams=self.ngrams, max_tokens=self.max_tokens, known=self.known or b"")

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
        """Return the number of n-grams, the share that came before, and the mean of their buckets, 0..1.

        Hashes are random, but the same word always has the same one: other words have another mean.
        """

        return Summary(
            ["words", "repeats", "vocabulary"],
            summarise_sparse_rows if self.encoder == "lsa" else summarise_tokens(self.buckets),
        )


def summarise_tokens(buckets: int) -> Callable[[NDArray[Any]], SummaryValues]:
    """Return the summary of rows of the encoders `bag` and `bert`."""

    def compute(rows: NDArray[Any]) -> SummaryValues:
        words = (rows > 0).sum(1)
        ordered = np.sort(rows, axis=1)
        repeated = ((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] > 0)).sum(1)
        count = np.maximum(words, 1)
        values = np.stack([words, repeated / count, rows.sum(1) / count / buckets], axis=1)
        return values.astype(np.float32)

    return compute


def summarise_sparse_rows(rows: NDArray[Any]) -> SummaryValues:
    """Return the summary of rows of the encoder `lsa`: of their single tokens."""
    ids, counts = np.moveaxis(rows, -1, 0)
    tokens = (ids > 0) & (ids < WORD_NGRAMS_FROM)
    words = (counts * tokens).sum(1)
    count = np.maximum(words, 1)
    mean = (ids * counts * tokens).sum(1, dtype=np.float64) / count / TOKEN_IDS
    return np.stack([words, (words - tokens.sum(1)) / count, mean], axis=1).astype(np.float32)
