"""Fusion: confidences become weights, and weights modulate what is fused.

Letters: B samples, M modalities, C classes, S the modalities that a sample has.

    s_m   = b_m + a log P(right)_m + 2 log P(real)_m          c_m = P(real)_m P(right)_m
    w     = masked_softmax(s)                                 the fusion weights; absent ones masked out
    u_m   = min(1, 2 |S| w_m)                                 how far m enters the joint branch
    log p = kappa_S sum_m exp(s_m) vote_m + lambda_S r log joint(u) + constant,   r = sum_m w_m P(real)_m

b_m is what a vote of modality m is worth: b_m and a, and kappa and lambda for each subset, are fitted on
the calibration set. A modality that loses its weight loses its vote and fades out of the joint branch; where
nothing real is left, the answer says that it knows nothing.
"""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Up to so many modalities every subset has its own kappa and lambda; beyond, every number of them.
MAX_MODALITIES_WITH_SUBSETS = 6
# The power of P(real): with 1 a strong modality that is probably not real still outweighs a weak one.
DOUBT = 2.0


class ModalityPosteriors(nn.Module):
    """Each modality's own answer: a log-linear pool of its softmax experts and its PLDA head.

    log p = alpha log p_softmax + delta log density - constant. Divided by a temperature t, such that the top
    two are 1 apart on average over the calibration set, it is the modality's vote; its worth is left to
    the weights. The parameters of all modalities are stacked, (M, ...) each.
    """

    pool_weights: Tensor
    temperature: Tensor

    def __init__(self, n_modalities: int) -> None:
        super().__init__()
        self.register_buffer("pool_weights", torch.tensor([1.0, 0.0]).repeat(n_modalities, 1))  # alpha, delta
        self.register_buffer("temperature", torch.ones(n_modalities))  # t

    def forward(self, log_p: Tensor, densities: Tensor) -> Tensor:
        """Calibrated log-probabilities: (n, M, C), (n, M, C) -> (n, M, C)"""
        alpha, delta = self.pool_weights.unsqueeze(-1).unbind(1)
        return F.log_softmax(alpha * log_p + delta * densities, dim=-1)

    def soften(self, log_posteriors: Tensor) -> Tensor:
        """The votes: (n, M, C) -> (n, M, C)"""
        return log_posteriors / self.temperature[:, None]


class FusionWeights(NamedTuple):
    """How far each modality is trusted: (B, M) each, 0 where absent but for `worth`, which is -inf there."""

    worth: Tensor  # s
    weights: Tensor  # w
    real: Tensor  # P(real)


class Fusion(nn.Module):
    """The few numbers that are fitted on the calibration set."""

    sizes: Tensor

    def __init__(self, n_modalities: int, *, uniform: bool = False) -> None:
        super().__init__()
        self.uniform = uniform  # every modality weighs the same: what the weights are compared with
        self.worth = nn.Parameter(torch.zeros(n_modalities))  # b
        self.raw_slope = nn.Parameter(torch.tensor(-3.0))  # a; softplus keeps it positive
        n_subsets = 2**n_modalities if n_modalities <= MAX_MODALITIES_WITH_SUBSETS else n_modalities + 1
        self.register_buffer("sizes", subset_sizes(n_modalities, n_subsets))
        # CalibrationData overlaps: votes of |S| modalities are worth less than their sum.
        self.log_kappa = nn.Parameter(-self.sizes.clamp(min=1).log() / 2)
        self.log_lambda = nn.Parameter(torch.full((n_subsets,), -1.0))

    def fitted(self) -> dict[str, Tensor]:
        """b (M,), a (1,), and kappa and lambda by subset: bit m of the index says that m is present."""
        slope, kappa, share = F.softplus(self.raw_slope), self.log_kappa.exp(), self.log_lambda.exp()
        return {"worth": self.worth, "slope": slope, "kappa": kappa, "lambda": share}

    def trust(self, real: Tensor, right: Tensor, presence: Tensor) -> FusionWeights:
        """Log-odds (B, M) of being real and of being right, (B, M) bool -> weights; rows sum to 1."""
        # softplus, not logsigmoid: onnxruntime makes that log(sigmoid), which is infinite from -80 on.
        unlike, wrong = F.softplus(-real), F.softplus(-right)
        worth = self.worth - F.softplus(self.raw_slope) * wrong - DOUBT * unlike
        if self.uniform:
            worth, real = torch.zeros_like(worth) + self.worth.mean(), torch.full_like(real, torch.inf)
        # masked_fill, not a product with the mask: whatever stands in an absent slot must not count.
        worth = worth.masked_fill(~presence, -torch.inf)
        return FusionWeights(worth, worth.softmax(-1), real.sigmoid().masked_fill(~presence, 0.0))

    def log_probabilities(
        self, votes: Tensor, joint: Tensor, trust: FusionWeights, presence: Tensor
    ) -> Tensor:
        """Votes (B, M, C), the joint branch's log-probabilities (B, C), (B, M) bool -> (B, C)"""
        subset = self.subset(presence)
        voted = self.log_kappa.exp()[subset][:, None] * (trust.worth.exp()[:, :, None] * votes).sum(1)
        share = self.log_lambda.exp()[subset] * (trust.weights * trust.real).sum(-1)
        return F.log_softmax(voted + share[:, None] * joint, dim=-1)

    def subset(self, presence: Tensor) -> Tensor:
        """The index of each sample's subset: (B, M) bool -> (B,)"""
        n_modalities = presence.shape[1]
        if n_modalities > MAX_MODALITIES_WITH_SUBSETS:
            return presence.sum(-1)
        return (presence * 2 ** torch.arange(n_modalities, device=presence.device)).sum(-1)


def subset_sizes(n_modalities: int, n_subsets: int) -> Tensor:
    """How many modalities each subset has: (n_subsets,)"""
    if n_modalities > MAX_MODALITIES_WITH_SUBSETS:
        return torch.arange(n_subsets, dtype=torch.float32)
    return torch.tensor([float(index.bit_count()) for index in range(n_subsets)])


def disagreement(own: Tensor, weights: Tensor) -> Tensor:
    """How far the modalities' own answers differ, in bits: (B, M, C) log-probabilities, (B, M) -> (B,)

    Their Jensen-Shannon divergence (Lin 1991) under the fusion weights: 0 if all say the same, or one is
    alone; 1 if two that weigh the same are sure of different classes.
    """
    weighted = weights[:, :, None] * own.exp()
    mean = weighted.sum(1)
    apart = (weighted * own).sum((1, 2)) - (mean * mean.clamp(min=1e-12).log()).sum(-1)
    return apart.clamp(min=0.0) / math.log(2)


def modulation(weights: Tensor, presence: Tensor) -> Tensor:
    """u: how far each modality enters the joint branch: (B, M), (B, M) -> (B, M) in 0..1"""
    return (2 * weights * presence.sum(-1, keepdim=True)).clamp(max=1.0)
