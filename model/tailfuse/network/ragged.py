"""Ragged batches: for each modality the present rows only, and the sample that each belongs to.

Letters: B samples, n_m present rows of modality m, M modalities, W width.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

Rows = Mapping[str, Tensor]
MAX_DEVIATIONS = 1e6  # deviations


def embed(encoder: nn.Module, rows: Tensor, *, training: bool) -> Tensor:
    """Embed rows of one modality: (n, ...) -> (n, W)"""
    return encode(encoder, rows, training=training)[1]


def count_penultimate_features(encoder: nn.Module) -> int:
    """Count the penultimate features of an encoder."""
    return next(layer.in_features for layer in encoder.layers if isinstance(layer, nn.Linear))  # type: ignore[union-attr]


def encode(encoder: nn.Module, rows: Tensor, *, training: bool) -> tuple[Tensor, Tensor]:
    """Encode rows of one modality: (n, ...) -> penultimate features (n, D), embedding (n, W)"""
    if rows.is_floating_point():  # a request may hold 1e30, whose square is infinite
        rows = rows.clamp(-MAX_DEVIATIONS, MAX_DEVIATIONS)
    if not training:
        features = encoder.extract_features(rows)  # type: ignore[operator]
        return features, encoder.layers(features)  # type: ignore[operator]
    several = len(rows) > 1  # batch norm cannot learn from one row
    if encoder.training != several:
        encoder.train(several)
    # Without rows a blank one is encoded, so that every weight has a gradient on every device.
    filled = rows if len(rows) else rows.new_zeros((1, *rows.shape[1:]))
    features = encoder.extract_features(filled)  # type: ignore[operator]
    return features[: len(rows)], encoder.layers(features)[: len(rows)]  # type: ignore[operator]


def scatter(present: Tensor, rows: Sequence[Tensor], size: int) -> Tensor:
    """Lay the rows of all modalities, (n_1 + ... + n_M, W) end to end, at their samples: (B, M, W)

    Absent slots are 0.
    """
    at = torch.cat([each * len(rows) + m for m, each in enumerate(rows)])
    slots = present.new_zeros((size * len(rows), present.shape[1]))
    return slots.index_put((at,), present).view(size, len(rows), -1)
