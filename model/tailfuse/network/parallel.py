"""Several encoders of one modality side by side; their embeddings lie end to end."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from tailfuse.modalities.pretrained import Pretrained
from tailfuse.modalities.text.encoder import find_projection
from tailfuse.network.ragged import count_penultimate_features


class ParallelEncoders(nn.Module):
    """Encoders of the same rows, each with weights of its own."""

    def __init__(self, encoders: Sequence[nn.Module]) -> None:
        super().__init__()
        self.encoders = nn.ModuleList(encoders)
        self.ragged = getattr(encoders[0], "ragged", False)
        self.widths = [count_penultimate_features(each) for each in encoders]

    def extract_features(self, rows: Tensor) -> Tensor:
        """(n, ...) -> the features of all encoders, end to end (n, D_1 + ... + D_k)"""
        features = [encoder.extract_features(rows) for encoder in self.encoders]  # type: ignore[operator]
        return torch.cat(features, dim=1)

    def layers(self, features: Tensor) -> Tensor:
        """(n, D_1 + ... + D_k) -> (n, k width)"""
        pairs = zip(self.encoders, features.split(self.widths, dim=1), strict=True)
        return torch.cat([encoder.layers(each) for encoder, each in pairs], dim=1)  # type: ignore[operator]

    def forward(self, rows: Tensor) -> Tensor:
        """(n, ...) -> (n, k width)"""
        return self.layers(self.extract_features(rows))


class ParallelLayers(nn.Module):
    """Layers of their own on the features that they share."""

    def __init__(self, layers: Sequence[nn.Module]) -> None:
        super().__init__()
        self.parallel = nn.ModuleList(layers)

    def forward(self, features: Tensor) -> Tensor:
        """(n, D) -> (n, k width)"""
        return torch.cat([each(features) for each in self.parallel], dim=1)


def run_parallel(encoders: Sequence[nn.Module]) -> nn.Module:
    """Join encoders of one modality: rows (n, ...) -> (n, k width). What is frozen is shared."""
    first = encoders[0]
    if len(encoders) == 1:
        return first
    if find_projection(first) or (isinstance(first, Pretrained) and first.trained == "none"):
        layers: list[Any] = [each.layers for each in encoders if isinstance(each, type(first))]
        first.layers = ParallelLayers(layers)
        return first
    return ParallelEncoders(encoders)
