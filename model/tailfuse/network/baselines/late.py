"""Late fusion: the mean of the modalities' own class probabilities."""

import torch
from torch import Tensor, nn

from tailfuse.losses.imbalance import ImbalanceLoss
from tailfuse.network.baselines.fused import FusedAnswer, make_equal_weights
from tailfuse.network.head import compute_modality_losses, make_heads, stack_posteriors


class Late(nn.Module):
    """Heads only."""

    def __init__(
        self, n_modalities: int, width: int, loss_fn: ImbalanceLoss, n_classes: int, dropout: float
    ) -> None:
        super().__init__()
        self.loss_fn = loss_fn
        self.heads = make_heads(n_modalities, width, loss_fn, n_classes)

    def forward(self, embeddings: Tensor, presence: Tensor) -> FusedAnswer:
        """(B, M, W), (B, M) -> log of the mean of the present modalities' probabilities"""
        log_posteriors = stack_posteriors(self.heads, embeddings)
        weights = make_equal_weights(presence)
        total = log_posteriors.masked_fill(~presence[:, :, None], -torch.inf).logsumexp(1)
        return FusedAnswer(
            total - presence.sum(-1, keepdim=True).log(), weights, log_posteriors.exp().amax(-1)
        )

    def loss(
        self, embeddings: Tensor, presence: Tensor, u: Tensor, target: Tensor, progress: float
    ) -> Tensor:
        """The modalities' losses, summed."""
        return compute_modality_losses(self.heads, self.loss_fn, embeddings, presence, target, progress).sum()
