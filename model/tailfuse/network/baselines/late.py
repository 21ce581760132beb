"""Late fusion: each modality answers for itself, and the mean of their probabilities counts."""

import torch
from torch import Tensor, nn

from tailfuse.losses.imbalance import ImbalanceLoss
from tailfuse.network.baselines.fused import Fused, equal_weights
from tailfuse.network.head import losses_alone, make_heads, stack_posteriors


class Late(nn.Module):
    """Heads only."""

    def __init__(
        self, n_modalities: int, width: int, loss_fn: ImbalanceLoss, n_classes: int, dropout: float
    ) -> None:
        super().__init__()
        self.loss_fn = loss_fn
        self.heads = make_heads(n_modalities, width, loss_fn, n_classes)

    def forward(self, embeddings: Tensor, presence: Tensor) -> Fused:
        """(B, M, W), (B, M) -> log of the mean of the present modalities' probabilities"""
        votes = stack_posteriors(self.heads, embeddings)
        weights = equal_weights(presence)
        total = votes.masked_fill(~presence[:, :, None], -torch.inf).logsumexp(1)
        return Fused(total - presence.sum(-1, keepdim=True).log(), weights, votes.exp().amax(-1))

    def loss(
        self, embeddings: Tensor, presence: Tensor, u: Tensor, target: Tensor, progress: float
    ) -> Tensor:
        """The modalities' losses, summed."""
        return losses_alone(self.heads, self.loss_fn, embeddings, presence, target, progress).sum()
