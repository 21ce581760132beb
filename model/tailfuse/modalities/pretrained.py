"""An encoder on a pretrained backbone. Of a frozen one the features are computed once, and cached."""

import hashlib
from typing import Self

import torch
from torch import Tensor, nn

from tailfuse.modalities.spec import Trained

MIN_SCALE = 1e-2  # of a feature: one that hardly ever varies must not be blown up


class Pretrained(nn.Module):
    """A backbone, the scale of its features, and one linear layer.

    `trained` says how much of the backbone is trained: none, the parameters whose names begin as one of
    `last`, or all. Unless all of it is, its batch norm keeps the statistics of the pretraining: those of
    small batches of few classes would be worse. `example` is one row.
    """

    def __init__(
        self,
        backbone: nn.Module,
        example: Tensor,
        *,
        last: tuple[str, ...],
        width: int,
        dropout: float,
        trained: Trained,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.trained = trained
        for name, parameter in backbone.named_parameters():
            parameter.requires_grad_(trained == "all" or (trained == "last" and name.startswith(last)))
        with torch.no_grad():
            self.feature_width = backbone.eval()(example).shape[1]
        self.scale = Scale(self.feature_width)
        self.layers = nn.Sequential(
            nn.Dropout(dropout),  # a thousand features, few rows: input dropout of 0.2 is too little
            nn.Linear(self.feature_width, width),
            nn.ReLU(),
            nn.LayerNorm(width, elementwise_affine=False),
            nn.Dropout(dropout),
        )

    def extract_features(self, rows: Tensor) -> Tensor:
        """Rows as the backbone takes them, or their `features` (n, F) -> (n, F)"""
        return rows if rows.dim() == 2 else self.features(rows)

    def forward(self, rows: Tensor) -> Tensor:
        """Rows or their features -> (n, width)"""
        embedding: Tensor = self.layers(self.extract_features(rows))
        return embedding

    def features(self, rows: Tensor) -> Tensor:
        """Rows, of more than two axes -> (n, F), scaled"""
        features: Tensor = self.scale(self.backbone(rows))
        return features

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        self.backbone.train(mode and self.trained == "all")
        return self


class Scale(nn.Module):
    """Features brought to mean 0 and scale 1. Until it is fitted it changes nothing."""

    mean: Tensor
    scale: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("scale", torch.ones(width))

    def fit(self, features: Tensor) -> None:
        """Fit to the backbone's features of the training rows, (n, width)."""
        self.mean.copy_(features.mean(0))
        self.scale.copy_(features.std(0, correction=0).clamp(min=MIN_SCALE))

    def forward(self, features: Tensor) -> Tensor:
        """(n, width) -> (n, width)"""
        return (features - self.mean) / self.scale


def fingerprint(network: nn.Module) -> str:
    """Hash a network's layers and their weights."""
    digest = hashlib.sha256(repr(network).encode())
    for name, value in network.state_dict().items():
        digest.update(name.encode())
        digest.update(value.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
