"""The encoders of text modalities: one on a frozen projection of texts, and a bag of hashed n-grams."""

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from tailfuse_service.modalities import TextModality
from torch import Tensor, nn

from tailfuse.modalities.dropout import Dropout
from tailfuse.modalities.text.lsa import Tfidf


class Projection(Protocol):
    """The methods of a text encoder's frozen part that training needs.

    Registered as a module, it maps rows to features: (n, ...) -> (n, D).
    """

    tfidf: Tfidf | None
    """The n-grams of rows, for the experts on n-grams; None if the rows have none."""

    def fit_features(
        self,
        rows: NDArray[Any],
        train: NDArray[np.int64],
        *,
        seed: int,
        device: torch.device | str = "cpu",
        report: Callable[[int, int], None] | None = None,
    ) -> NDArray[np.float32]:
        """Fit to the training rows, and return the features of all rows: (n, D)"""
        ...

    def compute_features(
        self, rows: NDArray[Any], *, device: torch.device | str = "cpu"
    ) -> NDArray[np.float32]:
        """Compute the features of other rows, once it is fitted: (n, D)"""
        ...


class ProjectedTexts(nn.Module):
    """One hidden layer on the features of a frozen projection.

    Training computes the features of every text once, and takes these for rows. `projection` is None while a
    network is trained.
    """

    ragged = True

    def __init__(
        self, projection: nn.Module, modality: TextModality, *, width: int, dropout: float,
        input_dropout: float,
    ) -> None:  # fmt: skip
        super().__init__()
        assert modality.dimensions is not None
        self.projection: Any = projection  # a Projection and a module: Python has no type for both
        self.ngram_buckets = None if projection.tfidf is None else modality.buckets
        self.layers = nn.Sequential(
            Dropout(input_dropout),
            nn.Linear(modality.dimensions, width),
            nn.ReLU(),
            nn.LayerNorm(width, elementwise_affine=False),
            Dropout(dropout),
        )

    def extract_features(self, rows: Tensor) -> Tensor:
        """Rows as the projection takes them, or their features (n, D) -> (n, D)"""
        if rows.is_floating_point():
            return rows
        features: Tensor = self.projection(rows)
        return features

    def forward(self, rows: Tensor) -> Tensor:
        """Rows or their features -> (n, width)"""
        embedding: Tensor = self.layers(self.extract_features(rows))
        return embedding


class Bag(nn.Module):
    """The mean embedding of a text's n-grams; word order counts only within an n-gram."""

    ragged = True

    def __init__(self, modality: TextModality, *, width: int, dropout: float, input_dropout: float) -> None:
        super().__init__()
        self.embed = nn.Embedding(modality.buckets + 1, width, padding_idx=0)
        nn.init.normal_(self.embed.weight, std=0.05)
        nn.init.zeros_(self.embed.weight[0])
        self.input_dropout = nn.Dropout(input_dropout)
        self.layers = nn.Sequential(
            nn.LayerNorm(width, elementwise_affine=False),
            nn.Linear(width, width),
            nn.ReLU(),
            nn.LayerNorm(width, elementwise_affine=False),
            nn.Dropout(dropout),
        )

    def extract_features(self, rows: Tensor) -> Tensor:
        """(n, tokens) hashed n-grams, 0 is padding -> (n, width), their mean embedding"""
        # The padding is masked by hand: a row's answer must not depend on how far it was padded.
        kept = self.input_dropout((rows > 0).float())
        total = (self.embed(rows) * kept[:, :, None]).sum(1)
        mean: Tensor = total / kept.sum(1).clamp(min=1.0)[:, None]
        return mean

    def forward(self, rows: Tensor) -> Tensor:
        """(n, tokens) -> (n, width)"""
        embedding: Tensor = self.layers(self.extract_features(rows))
        return embedding


def find_projection(encoder: nn.Module) -> Projection | None:
    """Return the frozen part of an encoder of texts; None of other encoders, and while one is trained."""
    return encoder.projection if isinstance(encoder, ProjectedTexts) else None


def find_ngram_buckets(encoder: nn.Module) -> int | None:
    """Return the number of buckets of each part of an encoder's n-grams; None if its rows have no n-grams."""
    return encoder.ngram_buckets if isinstance(encoder, ProjectedTexts) else None


def share_projection(source: nn.Module, target: nn.Module, *, keep: bool) -> None:
    """Give an encoder of texts the projection of another, or take it away until the network is trained."""
    if isinstance(source, ProjectedTexts) and isinstance(target, ProjectedTexts):
        target.projection = source.projection if keep else None
