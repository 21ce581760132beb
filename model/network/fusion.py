"""Fusion: confidences become weights, and weights modulate what is fused.

Letters: B samples, M modalities, W width, E experts, C classes.

    w   = masked_softmax(a * log c)                    c: confidences in (0, 1), absent ones masked out
    u_m = min(1, 2 |S| w_m)                            |S|: modalities present
    log p = kappa_|S| * sum_m w_m log p_m  +  lambda_|S| * joint(sum_m u_m V_m h_m + (1 - u_m) f_m)

A modality that loses its weight loses its vote and fades out of the joint branch too, where a learnt
token f_m stands for what is missing. kappa and lambda calibrate each number of modalities present.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.network.experts import aggregate


class Fusion(nn.Module):
    """The few numbers that are fitted on held-out rows: a, and kappa and lambda per number present."""

    def __init__(self, n_modalities: int) -> None:
        super().__init__()
        # Softplus keeps them positive; 0.5413 is where softplus is 1.
        self.raw_slope = nn.Parameter(torch.tensor(0.5413))
        self.raw_kappa = nn.Parameter(torch.full((n_modalities,), 0.5413))
        self.raw_lambda = nn.Parameter(torch.full((n_modalities,), 0.5413))

    def fitted(self) -> dict[str, Tensor]:
        """a (1,), and kappa and lambda (M,) for 1..M modalities present."""
        return {
            "a": F.softplus(self.raw_slope.detach()),
            "kappa": F.softplus(self.raw_kappa.detach()),
            "lambda": F.softplus(self.raw_lambda.detach()),
        }

    def weights(self, confidence_logits: Tensor, presence: Tensor) -> Tensor:
        """(B, M), (B, M) bool -> (B, M): rows sum to 1, absent modalities get exactly 0."""
        score = F.softplus(self.raw_slope) * F.logsigmoid(confidence_logits)
        # masked_fill, not a product with the mask: whatever stands in an absent slot must not count.
        return score.masked_fill(~presence, -torch.inf).softmax(-1)

    def log_probabilities(self, votes: Tensor, joint: Tensor, weights: Tensor, presence: Tensor) -> Tensor:
        """log p_m (B, M, C), joint logits (B, E, C), (B, M), (B, M) -> (B, C)"""
        size = presence.sum(-1) - 1
        kappa = F.softplus(self.raw_kappa)[size][:, None]
        share = F.softplus(self.raw_lambda)[size][:, None]
        voted = (weights[:, :, None] * votes).sum(1)
        return F.log_softmax(kappa * voted + share * aggregate(joint), dim=-1)


def modulation(weights: Tensor, presence: Tensor) -> Tensor:
    """u: how far each modality enters the joint branch: (B, M), (B, M) -> (B, M) in 0..1"""
    return (2 * weights * presence.sum(-1, keepdim=True)).clamp(max=1.0)
