"""A single modality: of those present, the one with the smallest validation loss."""

import torch
from torch import Tensor, nn

from tailfuse.losses.imbalance import ImbalanceLoss
from tailfuse.network.baselines.fused import FusedAnswer
from tailfuse.network.head import compute_modality_losses, make_heads, stack_posteriors


class Single(nn.Module):
    """Heads only, and the modalities' ranks, 0 the best; tailfuse.training.validate sets them."""

    ranks: Tensor

    def __init__(
        self, n_modalities: int, width: int, loss_fn: ImbalanceLoss, n_classes: int, dropout: float
    ) -> None:
        super().__init__()
        self.loss_fn = loss_fn
        self.heads = make_heads(n_modalities, width, loss_fn, n_classes)
        self.register_buffer("ranks", torch.arange(n_modalities))

    def forward(self, embeddings: Tensor, presence: Tensor) -> FusedAnswer:
        """(B, M, W), (B, M) -> the prediction of the best modality present, whose weight is 1"""
        log_posteriors = stack_posteriors(self.heads, embeddings)
        ranks = self.ranks.masked_fill(~presence, len(self.ranks))
        weights = (ranks == ranks.amin(-1, keepdim=True)).to(log_posteriors.dtype)
        return FusedAnswer(
            (weights[:, :, None] * log_posteriors).sum(1), weights, log_posteriors.exp().amax(-1)
        )

    def loss(
        self, embeddings: Tensor, presence: Tensor, u: Tensor, target: Tensor, progress: float
    ) -> Tensor:
        """The modalities' losses, summed: each encoder and head learns from its own alone."""
        return compute_modality_losses(self.heads, self.loss_fn, embeddings, presence, target, progress).sum()
