"""One modality answers: of those present, the one that was best on validation rows."""

import torch
from torch import Tensor, nn

from tailfuse.losses.imbalance import ImbalanceLoss
from tailfuse.network.baselines.fused import Fused
from tailfuse.network.head import losses_alone, make_heads, stack_posteriors


class Single(nn.Module):
    """Heads only, and the modalities' ranks, 0 the best; model/tailfuse/training/baseline.py sets them."""

    ranks: Tensor

    def __init__(
        self, n_modalities: int, width: int, loss_fn: ImbalanceLoss, n_classes: int, dropout: float
    ) -> None:
        super().__init__()
        self.loss_fn = loss_fn
        self.heads = make_heads(n_modalities, width, loss_fn, n_classes)
        self.register_buffer("ranks", torch.arange(n_modalities))

    def forward(self, embeddings: Tensor, presence: Tensor) -> Fused:
        """(B, M, W), (B, M) -> the answer of the best modality present, whose weight is 1"""
        votes = stack_posteriors(self.heads, embeddings)
        ranks = self.ranks.masked_fill(~presence, len(self.ranks))
        weights = (ranks == ranks.amin(-1, keepdim=True)).to(votes.dtype)
        return Fused((weights[:, :, None] * votes).sum(1), weights, votes.exp().amax(-1))

    def loss(
        self, embeddings: Tensor, presence: Tensor, u: Tensor, target: Tensor, progress: float
    ) -> Tensor:
        """The modalities' losses, summed: each encoder and head learns from its own alone."""
        return losses_alone(self.heads, self.loss_fn, embeddings, presence, target, progress).sum()
