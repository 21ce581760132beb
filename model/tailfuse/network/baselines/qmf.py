"""Quality-aware multimodal fusion (Zhang et al. 2023): the energy of a modality's logits weighs them.

    c_m = logsumexp(f_m) / 10                      f_m are the logits of modality m's head
    f   = sum of c_m f_m over the modalities present

Losses: that of f, of each head, and a ranking loss: of two rows the one with the smaller loss shall have the
larger energy, by as much as the losses differ. The authors keep each row's mean loss over the epochs; a batch
here holds mixed rows (mixup), so the losses of the batch itself are compared. c_m is detached, as in their
code, and kept positive here, so that it is a weight.
"""

import torch
from torch import Tensor, nn

from tailfuse.losses.experts import aggregate
from tailfuse.losses.imbalance import ImbalanceLoss
from tailfuse.network.baselines.fused import FusedAnswer
from tailfuse.network.head import Head, average_present, make_heads

ENERGY_SCALE = 10.0
RANKING_WEIGHT = 0.1
SMALLEST = 1e-3


class QualityAware(nn.Module):
    """Heads only."""

    def __init__(
        self, n_modalities: int, width: int, loss_fn: ImbalanceLoss, n_classes: int, dropout: float
    ) -> None:
        super().__init__()
        self.loss_fn = loss_fn
        self.heads = make_heads(n_modalities, width, loss_fn, n_classes)

    def forward(self, embeddings: Tensor, presence: Tensor) -> FusedAnswer:
        """(B, M, W), (B, M) -> the answer of the weighed logits; weights are the shares of the energies"""
        logits = self.compute_logits(embeddings)
        energies = compute_energies(logits) * presence
        fused = self.loss_fn.separate_experts(weigh(logits, energies))
        weights = energies / energies.sum(-1, keepdim=True)
        return FusedAnswer(aggregate(fused), weights, energies.clamp(max=1.0))

    def loss(
        self, embeddings: Tensor, presence: Tensor, u: Tensor, target: Tensor, progress: float
    ) -> Tensor:
        """All three losses; modalities whose u is 0 are left out of the fused logits."""
        logits = self.compute_logits(embeddings)
        energies = compute_energies(logits)
        alone = self.loss_fn(logits, target[:, None, :], progress)  # (B, M)
        fused = self.loss_fn(weigh(logits, energies.detach() * (u > 0)), target, progress)
        ranking = compute_ranking_losses(energies, alone.detach(), presence)
        return fused.mean() + (average_present(alone, presence) + RANKING_WEIGHT * ranking).sum()

    def compute_logits(self, embeddings: Tensor) -> Tensor:
        """Compute each head's logits as the loss has them, also in eval mode: (B, M, W) -> (B, M, E, C)"""
        heads = (head for head in self.heads if isinstance(head, Head))
        return torch.stack([head.compute_logits(embeddings[:, m]) for m, head in enumerate(heads)], dim=1)


def compute_energies(logits: Tensor) -> Tensor:
    """Compute each modality's energy, the mean of its experts': (B, M, E, C) -> (B, M)"""
    return (logits.logsumexp(-1).mean(-1) / ENERGY_SCALE).clamp(min=SMALLEST)


def weigh(logits: Tensor, energies: Tensor) -> Tensor:
    """Sum the modalities' logits, each times its energy: (B, M, E, C), (B, M) -> (B, E, C)"""
    return (energies[:, :, None, None] * logits).sum(1)


def compute_ranking_losses(energies: Tensor, losses: Tensor, presence: Tensor) -> Tensor:
    """Compare each row with the next of the batch: (B, M), (B, M), (B, M) -> (M,)

    Losses are scaled to 0..1 in every modality, as the authors do.
    """
    shown = torch.where(presence, losses, torch.zeros_like(losses))
    scaled = shown / shown.amax(0, keepdim=True).clamp(min=SMALLEST)
    margin = scaled - scaled.roll(-1, 0)  # above 0: the next row shall have more energy
    difference = energies.roll(-1, 0) - energies
    wrong = (margin.abs() - margin.sign() * difference).clamp(min=0.0)
    return average_present(wrong, presence & presence.roll(-1, 0))
