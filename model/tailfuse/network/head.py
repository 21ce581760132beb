"""A head: the classifiers on one embedding, trained with a loss for imbalanced classes."""

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tailfuse.losses.experts import aggregate
from tailfuse.losses.imbalance import ImbalanceLoss


class Head(nn.Module):
    """E classifiers on one embedding, as one linear layer.

    During training it returns raw logits, for the loss. In eval mode it returns logits free of the training
    prior, whose `aggregate` is the prediction.
    """

    def __init__(self, width: int, loss_fn: ImbalanceLoss, n_classes: int) -> None:
        super().__init__()
        self.loss_fn = loss_fn
        self.shape = (loss_fn.n_experts, n_classes)
        self.linear = nn.Linear(width, loss_fn.n_experts * n_classes, bias=not loss_fn.cosine)

    def forward(self, embedding: Tensor) -> Tensor:
        """(n, width) -> (n, E, C); (n, 1, C) in eval mode if the loss has one prediction"""
        logits = self.compute_logits(embedding)
        return logits if self.training else self.loss_fn.separate_experts(logits)

    def compute_logits(self, embedding: Tensor) -> Tensor:
        """Compute raw logits: (n, width) -> (n, E, C)"""
        if self.loss_fn.cosine:
            flat: Tensor = F.linear(F.normalize(embedding, dim=-1), F.normalize(self.linear.weight, dim=-1))
        else:
            flat = self.linear(embedding)
        logits: Tensor = flat.unflatten(1, self.shape)
        return logits

    def loss(self, embedding: Tensor, target: Tensor, progress: float) -> Tensor:
        """(n, width), probabilities (n, C), share of the training done -> (n,). In training mode only."""
        return self.loss_fn(self(embedding), target, progress)


def make_heads(n_modalities: int, width: int, loss_fn: ImbalanceLoss, n_classes: int) -> nn.ModuleList:
    """Make a head for each modality."""
    return nn.ModuleList(Head(width, loss_fn, n_classes) for _ in range(n_modalities))


def stack_posteriors(heads: Iterable[nn.Module], embeddings: Tensor) -> Tensor:
    """Stack each modality's log-probabilities: (B, M, W) -> (B, M, C). In eval mode only."""
    return torch.stack([aggregate(head(embeddings[:, m])) for m, head in enumerate(heads)], dim=1)


def compute_modality_losses(
    heads: Iterable[nn.Module], loss_fn: ImbalanceLoss, embeddings: Tensor, presence: Tensor, target: Tensor,
    progress: float,
) -> Tensor:  # fmt: skip
    """Compute each modality's mean loss over the samples that have it: (B, M, W), (B, M), (B, C) -> (M,)"""
    logits = torch.stack([head(embeddings[:, m]) for m, head in enumerate(heads)], dim=1)  # (B, M, E, C)
    return average_present(loss_fn(logits, target[:, None, :], progress), presence)


def average_present(values: Tensor, presence: Tensor) -> Tensor:
    """Average over the samples that have a modality: (B, M), (B, M) -> (M,); 0 where no sample has it"""
    return (values * presence).sum(0) / presence.sum(0).clamp(min=1)
