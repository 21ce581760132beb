"""The tensor fusion network (Zadeh et al. 2017): the outer product of all embeddings.

    z = [1; P_1 h_1] x ... x [1; P_M h_M]

It holds the products of features of every subset of modalities. Its size grows with the power of M, so the
embeddings are projected to a width d with (d + 1)^M <= 4096 first. An absent modality is [1; 0].
"""

import torch
from torch import Tensor, nn

from tailfuse.errors import SpecError
from tailfuse.losses.experts import aggregate
from tailfuse.losses.imbalance import ImbalanceLoss
from tailfuse.network.baselines.fused import FusedAnswer, make_equal_weights
from tailfuse.network.head import Head
from tailfuse.network.joint import make_hidden_layers

MAX_PRODUCTS = 4096


class TensorFusion(nn.Module):
    """The outer product, and on it the hidden layers and the head of the joint branch."""

    def __init__(
        self, n_modalities: int, width: int, loss_fn: ImbalanceLoss, n_classes: int, dropout: float
    ) -> None:
        super().__init__()
        d = choose_projected_width(n_modalities, width)
        self.project = nn.Parameter(torch.randn(n_modalities, width, d) / width**0.5)  # P
        self.mix = nn.Linear((d + 1) ** n_modalities, width)
        self.layers = make_hidden_layers(width, dropout)
        self.head = Head(width, loss_fn, n_classes)

    def forward(self, embeddings: Tensor, presence: Tensor) -> FusedAnswer:
        """(B, M, W), (B, M) -> the head's answer"""
        logits = self.head(self.compute_hidden(embeddings, presence))
        return FusedAnswer(aggregate(logits), make_equal_weights(presence))

    def loss(
        self, embeddings: Tensor, presence: Tensor, u: Tensor, target: Tensor, progress: float
    ) -> Tensor:
        """The head's loss with the modalities whose u is not 0, unscaled."""
        return self.head.loss(self.compute_hidden(embeddings, u > 0), target, progress).mean()

    def compute_hidden(self, embeddings: Tensor, present: Tensor) -> Tensor:
        """(B, M, W), (B, M) bool -> (B, W)"""
        projected = torch.einsum("bmw,mwd->bmd", embeddings, self.project) * present[:, :, None]
        one = torch.ones_like(projected[:, :, :1])
        hidden: Tensor = self.layers(self.mix(compute_outer_product(torch.cat([one, projected], dim=2))))
        return hidden


def compute_outer_product(factors: Tensor) -> Tensor:
    """Compute the products of one number per modality, for every choice: (B, M, k) -> (B, k^M)"""
    first, *others = factors.unbind(1)
    for each in others:
        first = (first[:, :, None] * each[:, None, :]).flatten(1)
    return first


def choose_projected_width(n_modalities: int, width: int) -> int:
    """Choose the largest d up to `width` with (d + 1)^M <= 4096. Raises SpecError where there is none."""
    fitting = [d for d in range(1, width + 1) if (d + 1) ** n_modalities <= MAX_PRODUCTS]
    if not fitting:
        raise SpecError(
            f"network.fusion: the tensor of {n_modalities} modalities is too large; choose another fusion"
        )
    return fitting[-1]
