"""Ragged batches: for each modality the present rows only, and the sample that each belongs to.

Letters: B samples, n_m present rows of modality m, M modalities, W width.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

Rows = Mapping[str, Tensor]
FARTHEST = 1e6  # deviations


def embed(encoder: nn.Module, rows: Tensor, *, training: bool) -> Tensor:
    """Rows of one modality through its encoder: (n, ...) -> (n, W)"""
    return encode(encoder, rows, training=training)[1]


def view_width(encoder: nn.Module) -> int:
    """How many numbers an encoder's view has."""
    return next(layer.in_features for layer in encoder.layers if isinstance(layer, nn.Linear))  # type: ignore[union-attr]


def encode(encoder: nn.Module, rows: Tensor, *, training: bool) -> tuple[Tensor, Tensor]:
    """Rows of one modality, (n, ...) -> their view (n, D) and their embedding (n, W)"""
    if rows.is_floating_point():  # a client may send 1e30, whose square is infinite
        rows = rows.clamp(-FARTHEST, FARTHEST)
    if not training:
        view = encoder.view(rows)  # type: ignore[operator]
        return view, encoder.layers(view)  # type: ignore[operator]
    several = len(rows) > 1  # batch norm cannot learn from one row
    if encoder.training != several:
        encoder.train(several)
    # Without rows a blank one goes through, so that every weight has a gradient on every device.
    filled = rows if len(rows) else rows.new_zeros((1, *rows.shape[1:]))
    view = encoder.view(filled)  # type: ignore[operator]
    return view[: len(rows)], encoder.layers(view)[: len(rows)]  # type: ignore[operator]


def scatter(present: Tensor, rows: Sequence[Tensor], size: int) -> Tensor:
    """Lay the rows of all modalities, (n_1 + ... + n_M, W) end to end, at their samples: (B, M, W)

    Absent slots are 0.
    """
    at = torch.cat([each * len(rows) + m for m, each in enumerate(rows)])
    slots = present.new_zeros((size * len(rows), present.shape[1]))
    return slots.index_put((at,), present).view(size, len(rows), -1)
