"""The joint branch: one representation of all modalities, and a head on it.

Letters: B samples, M modalities, W width, E experts, C classes.
"""

import torch
from torch import Tensor, nn

from tailfuse.losses.imbalance import ImbalanceLoss
from tailfuse.modalities.dropout import Dropout
from tailfuse.network.head import Head


class JointBranch(nn.Module):
    """A head over all modalities at once, each scaled by u in 0..1 (0 is absent).

    sum_m u_m V_m h_m is a linear layer on the concatenation of the embeddings; for the missing part of a
    modality a learnt token f_m is added: sum_m u_m V_m h_m + (1 - u_m) f_m
    """

    def __init__(
        self, n_modalities: int, width: int, loss_fn: ImbalanceLoss, n_classes: int, dropout: float
    ) -> None:
        super().__init__()
        self.project = nn.Parameter(torch.randn(n_modalities, width, width) / width**0.5)  # V
        self.missing = nn.Parameter(torch.zeros(n_modalities, width))  # f
        self.layers = make_hidden_layers(width, dropout)
        self.head = Head(width, loss_fn, n_classes)

    def forward(self, embeddings: Tensor, u: Tensor) -> Tensor:
        """(B, M, W), (B, M) -> the head's logits (B, E, C)"""
        logits: Tensor = self.head(self.compute_hidden(embeddings, u))
        return logits

    def loss(self, embeddings: Tensor, u: Tensor, target: Tensor, progress: float) -> Tensor:
        """(B, M, W), (B, M), probabilities (B, C), share of the training done -> scalar"""
        return self.head.loss(self.compute_hidden(embeddings, u), target, progress).mean()

    def compute_hidden(self, embeddings: Tensor, u: Tensor) -> Tensor:
        """Compute the representation that the head receives: (B, M, W), (B, M) -> (B, W)"""
        projected = (u[:, :, None] * embeddings).flatten(1) @ self.project.flatten(0, 1)
        hidden: Tensor = self.layers(projected + (1 - u) @ self.missing)
        return hidden


def make_hidden_layers(width: int, dropout: float) -> nn.Sequential:
    """Make the layers between a representation of all modalities and its head."""
    return nn.Sequential(nn.ReLU(), nn.LayerNorm(width, elementwise_affine=False), Dropout(dropout))
