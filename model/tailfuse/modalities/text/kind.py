"""The text kind in training: fitted, read from a table, encoded, corrupted and described."""

import os
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field, ValidationInfo, field_validator
from tailfuse_service.modalities import TextModality
from tailfuse_service.modalities.text.bert_rows import MAX_TOKENS
from tailfuse_service.modalities.text.sparse_rows import CHARACTER_IDS, CHARACTERS_FROM
from tailfuse_service.modalities.text.tokenizer import LATEST_TOKENIZER

from tailfuse.files.cells import read_texts
from tailfuse.files.reading import DEFAULT_READING, Reading
from tailfuse.files.table import Rows, check_some_value, match_columns, place
from tailfuse.modalities.kind import Kind
from tailfuse.modalities.preview import Preview, shorten
from tailfuse.modalities.ragged import keep_apart
from tailfuse.modalities.spec import Columns, ModalitySpec, Name
from tailfuse.modalities.text.bert_files import (
    MINILM,
    MINILM_SHA256,
    WEIGHTS,
    find_folder,
    has_minilm,
    is_bert,
    is_folder,
)
from tailfuse.modalities.text.choose_encoder import choose_encoder
from tailfuse.modalities.text.corruption import corrupt_texts
from tailfuse.modalities.text.fit import fit_bag, fit_bert, fit_lsa
from tailfuse.modalities.text.uniqueness import warn_about_unique_tokens

if TYPE_CHECKING:
    from torch import Generator, Tensor, nn


AUTO = "auto"
LINEAR_BUCKETS = 2**13  # columns of a linear model
MAX_CORRUPTED, CORRUPTED_COPIES = 4000, 4  # rows in all, and of each text at most


class TextSpec(ModalitySpec):
    """Texts as hashed n-grams (of characters where a script has no spaces), or as tokens of a BERT.

    A BERT has a tokenizer of its own: `ngrams`, `buckets` and `max_tokens` do not apply to it.
    """

    kind: Literal["text"]
    columns: Columns
    """Names of columns, or patterns. Several are joined."""
    ngrams: int = Field(default=2, ge=1, le=5)
    """Largest number of words in an n-gram."""
    buckets: int = Field(default=16384, ge=2, le=2**24)
    """Hash buckets of words and their n-grams; `lsa` has as many again for characters within words."""
    max_tokens: int = Field(default=512, ge=1, le=2**20)
    """Tokens of a text that count."""
    encoder: Name = "lsa"
    """`auto`, `lsa`, `bag`, `minilm`, or a folder with a BERT."""

    @field_validator("ngrams", "buckets", "max_tokens")
    @classmethod
    def _is_of_an_encoder_of_ngrams(cls, value: int, info: ValidationInfo) -> int:
        encoder, name = str(info.data.get("encoder")), str(info.field_name)
        if is_bert(encoder) and value != cls.model_fields[name].default:
            raise ValueError(
                f"is to be left out with {encoder}, which has a tokenizer of its own and takes the first "
                f"{MAX_TOKENS} tokens"
            )
        return value

    @property
    def weights_path(self) -> Path | None:
        return Path(self.encoder) / WEIGHTS if is_folder(self.encoder) else None

    def resolve_paths(self, folder: Path) -> Self:
        if not is_folder(self.encoder):
            return self
        return self.model_copy(update={"encoder": os.path.abspath(folder / self.encoder)})


class TextKind(Kind[TextSpec, TextModality]):
    """Plain text in one column or several."""

    name = "text"
    ragged = True
    spec = TextSpec
    encoder_names = (AUTO, "lsa", "bag", MINILM, "<folder>/")
    precisions = ("float16", "int8")
    block_parts = ("projection.bert.",)

    def fit(
        self,
        name: str,
        spec: TextSpec,
        table: pl.DataFrame,
        rows: Rows,
        folder: Path,
        reading: Reading = DEFAULT_READING,
    ) -> TextModality:
        """Check that each column has a text, and warn if its texts share no tokens."""
        columns = match_columns(table, spec.columns, f"modalities.{name}.columns")
        for column in columns:
            texts = read_texts(table[column], place(name, column), rows)
            check_some_value(texts, name)
            warn_about_unique_tokens(texts, place(name, column), rows)
        modality = TextModality(
            columns=tuple(columns), tokenizer=LATEST_TOKENIZER, buckets=spec.buckets, ngrams=spec.ngrams,
            max_tokens=spec.max_tokens, missing=reading.missing,
        )  # fmt: skip
        if is_bert(spec.encoder):
            return fit_bert(modality, find_folder(spec.encoder))
        if spec.encoder == "bag":
            return modality
        joined = self.read_joined(name, modality, table, rows, folder)
        return fit_lsa(modality, (text for text in joined if text is not None))

    def choose_encoder(
        self, name: str, spec: TextSpec, modality: TextModality, table: pl.DataFrame, rows: Rows,
        labels: NDArray[np.int64], folder: Path, seed: int,
    ) -> TextModality:  # fmt: skip
        if spec.encoder != AUTO:
            return modality
        from tailfuse.modalities.brief_training import DROPOUT, INPUT_DROPOUT, WIDTH

        candidates = {"lsa": modality, "bag": fit_bag(modality)}
        if has_minilm():
            candidates[MINILM] = fit_bert(modality, find_folder(MINILM))
        texts = list(self.read_joined(name, modality, table, rows, folder))
        present = np.array([text is not None for text in texts])
        build = partial(self.build_encoder, spec, width=WIDTH, dropout=DROPOUT, input_dropout=INPUT_DROPOUT)
        given = [text for text in texts if text is not None]
        return choose_encoder(candidates, build, given, labels[present], seed)

    def read_joined(
        self, name: str, modality: TextModality, table: pl.DataFrame, rows: Rows, folder: Path
    ) -> Iterator[str | None]:
        """Yield each row's text, that of all columns in one; None where it is missing."""
        join = modality.features(name).join
        for value in self.raw_values(name, modality, table, rows, folder):
            yield None if value is None else join(value)

    def raw_values(
        self, name: str, modality: TextModality, table: pl.DataFrame, rows: Rows, folder: Path
    ) -> Iterator[Any]:
        texts = pl.DataFrame(
            [read_texts(table[column], place(name, column), rows) for column in modality.columns]
        )
        if len(modality.columns) == 1:
            yield from texts.to_series()
        else:
            yield from (row if any(row.values()) else None for row in texts.iter_rows(named=True))

    def check_encoder(self, name: str) -> None:
        if not is_folder(name):
            super().check_encoder(name)
        if is_bert(name):
            find_folder(name)

    def build_encoder(
        self, spec: TextSpec, modality: TextModality, *, width: int, dropout: float, input_dropout: float
    ) -> "nn.Module":
        from tailfuse.modalities.text.encoder import Bag, ProjectedTexts

        if modality.encoder == "bag":
            return Bag(modality, width=width, dropout=dropout, input_dropout=input_dropout)
        projection = build_projection(spec, modality)
        return ProjectedTexts(projection, modality, width=width, dropout=dropout, input_dropout=input_dropout)

    def count_inputs(self, modality: TextModality, rows: NDArray[Any], width: int) -> int:
        if modality.dimensions is not None:
            return modality.dimensions
        return max(map(len, rows), default=0) * width  # an embedding for each token

    def linear_columns(self, modality: TextModality, rows: NDArray[Any]) -> Any:
        """Return sparse columns: 1 + log of how often each n-gram occurs, hashed, of length 1."""
        from scipy import sparse
        from sklearn.preprocessing import normalize

        with_counts = modality.encoder == "lsa"
        ids = np.concatenate([row[:, 0] if with_counts else row for row in rows])
        counts = np.concatenate([row[:, 1] if with_counts else np.ones(len(row)) for row in rows])
        at = np.repeat(np.arange(len(rows)), [len(row) for row in rows])
        shape = (len(rows), LINEAR_BUCKETS)
        columns = sparse.csr_matrix((counts, (at, ids % LINEAR_BUCKETS)), shape, dtype=np.float64)
        columns.data = 1 + np.log(columns.data)
        return normalize(columns)

    def corrupt(self, rows: "Tensor", modality: TextModality, generator: "Generator") -> "Tensor":
        """Replace every word by one that nobody has used."""
        import torch

        if modality.encoder == "lsa":
            ids = torch.randint(1, CHARACTERS_FROM + CHARACTER_IDS, rows.shape[:-1], generator=generator)
            other = torch.stack([ids.to(rows.dtype), rows[..., 1]], dim=-1)
            return torch.where(rows[..., :1] > 0, other, rows)
        other = torch.randint(1, modality.buckets + 1, rows.shape, generator=generator)
        return torch.where(rows > 0, other, rows)

    def add_noise(
        self, modality: TextModality, rows: NDArray[Any], strength: float, random: np.random.Generator
    ) -> NDArray[Any]:
        """Replace a share of the n-grams by others that nobody has used."""
        with_counts = modality.encoder == "lsa"
        last = CHARACTERS_FROM + CHARACTER_IDS if with_counts else modality.buckets + 1
        noisy = []
        for row in rows:
            copy = row.copy()
            ids = copy[:, 0] if with_counts else copy
            other = random.integers(1, last, len(ids))
            ids[:] = np.where(random.random(len(ids)) < strength, other, ids)
            noisy.append(copy)
        return keep_apart(noisy)

    def corrupt_values(
        self, name: str, modality: TextModality, table: pl.DataFrame, rows: Rows, folder: Path, seed: int
    ) -> NDArray[Any] | None:
        random = np.random.default_rng(seed)
        features = modality.features(name)
        drawn = np.sort(random.permutation(rows)[:MAX_CORRUPTED])
        values = self.raw_values(name, modality, table, drawn, folder)
        texts = [text for value in values if value is not None and (text := features.join(value).strip())]
        if not texts:
            return None
        copies = corrupt_texts(texts, min(MAX_CORRUPTED, CORRUPTED_COPIES * len(texts)), random)
        made = [row for text in copies if (row := features.rows.apply(text)) is not None]
        return keep_apart(made) if made else None

    def describe(self, modality: TextModality) -> str:
        losses = ", ".join(f"{name} {loss:.3f}" for name, loss in (modality.trial_losses or {}).items())
        chosen = f", chosen by the loss on left-out rows: {losses}" if losses else ""
        return self.describe_encoder(modality) + chosen

    def describe_encoder(self, modality: TextModality) -> str:
        """Describe a modality without how its encoder was chosen."""
        columns = "column" if len(modality.columns) == 1 else "columns"
        if modality.encoder == "bert":
            digest = str(modality.weights_sha256)
            name = MINILM if digest == MINILM_SHA256[WEIGHTS] else f"a BERT with weights {digest[:12]}…"
            return (
                f"text of {len(modality.columns)} {columns}, the first {modality.max_tokens} tokens, "
                f"encoder {name}, frozen"
            )
        grams = "words" if modality.ngrams == 1 else f"word n-grams up to {modality.ngrams}"
        return (
            f"text of {len(modality.columns)} {columns}, {grams}, {modality.buckets:,} buckets, "
            f"encoder {modality.encoder}, tokenizer {modality.tokenizer}"
        )

    def preview(self, modality: TextModality, cells: Mapping[str, Any], row: NDArray[Any]) -> Preview:
        texts = [str(value) for value in cells.values() if value is not None]
        return Preview(shorten("\n".join(texts)))

    def card_example(self, modality: TextModality) -> str:
        return "some words"


def build_projection(spec: TextSpec, modality: TextModality) -> "nn.Module":
    """Build the frozen part of an encoder, a `Projection`. Raises SpecError."""
    assert modality.dimensions is not None
    if modality.encoder == "lsa":
        from tailfuse.modalities.text.lsa import LsaProjection

        return LsaProjection(modality.buckets, modality.dimensions)
    from tailfuse.modalities.text.bert import load_bert
    from tailfuse.modalities.text.bert_features import BertProjection

    folder = find_folder(spec.encoder if is_folder(spec.encoder) else MINILM)
    return BertProjection(load_bert(folder, modality.max_tokens), modality.dimensions)
