"""Fusion: confidences become weights, and weights modulate what is fused.

Letters: B samples, M modalities, C classes, S the modalities that a sample has.

    d_m   = P(modality m is in-distribution)                  q_m = P(its posterior is correct, if so)
    s_m   = b_m + a log q_m + 2 log d_m                       the fusion logits;  c_m = d_m q_m
    w     = masked_softmax(s)                                 the fusion weights; absent ones masked out
    u_m   = min(1, 2 |S| w_m)                                 scale of m in the joint branch
    log p = kappa_S sum_m exp(s_m) l_m + lambda_S r log joint(u) + constant,   r = sum_m w_m d_m

l_m is the log of the modality posterior, divided by its temperature. The base logits b_m and the slope a,
and kappa and lambda for each subset, are fitted on the calibration set. A modality without weight neither
counts by its posterior nor enters the joint branch. If no modality is in-distribution, p is uniform.
"""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Up to this number of modalities every subset has its own kappa and lambda; beyond, every subset size.
MAX_MODALITIES_WITH_SUBSETS = 6
# The power of d: with 1, a strong modality that is probably corrupted still outweighs a weak one.
IN_DISTRIBUTION_POWER = 2.0


class ModalityPosteriors(nn.Module):
    """Class probabilities of each modality: a log-linear pool of its experts.

    These are the softmax experts, the PLDA head and, if any modality has one, the linear expert and the
    forest: log p = alpha log p_softmax + delta log density + mu log p_linear + nu log p_forest - constant.
    The fusion takes log p divided by a temperature t, such that the top two differ by 1 on average over the
    calibration set: how much a modality counts is left to the fusion logits. The parameters of all
    modalities are stacked, (M, ...) each.
    """

    pool_weights: Tensor
    temperature: Tensor

    def __init__(self, n_modalities: int, n_experts: int = 2) -> None:
        super().__init__()
        weights = torch.tensor([1.0, 0.0, 0.0, 0.0][:n_experts])  # alpha, delta, mu, nu
        self.register_buffer("pool_weights", weights.repeat(n_modalities, 1))
        self.register_buffer("temperature", torch.ones(n_modalities))  # t

    def forward(
        self, log_p: Tensor, densities: Tensor, linear: Tensor | None = None, forest: Tensor | None = None
    ) -> Tensor:
        """Calibrated log-probabilities: (n, M, C) each -> (n, M, C)"""
        alpha, delta, *others = self.pool_weights.unsqueeze(-1).unbind(1)
        pooled = alpha * log_p + delta * densities
        # A fold network may have an expert that was dropped, for which there is no weight.
        for weight, expert in zip(others, (linear, forest), strict=False):
            if expert is not None:
                pooled = pooled + weight * expert
        return F.log_softmax(pooled, dim=-1)

    def soften(self, log_posteriors: Tensor) -> Tensor:
        """Divide by the temperature: (n, M, C) -> (n, M, C)"""
        return log_posteriors / self.temperature[:, None]


class FusionWeights(NamedTuple):
    """The fusion of B samples, (B, M) each; 0 where absent, except `logits`, which are -inf there."""

    logits: Tensor  # s
    weights: Tensor  # w
    in_dist: Tensor  # d, a probability


class Fusion(nn.Module):
    """The parameters of the fusion, fitted on the calibration set."""

    sizes: Tensor

    def __init__(self, n_modalities: int, *, uniform: bool = False) -> None:
        super().__init__()
        self.uniform = uniform  # equal weights, the baseline that the fusion weights are compared with
        self.base_logits = nn.Parameter(torch.zeros(n_modalities))  # b
        self.raw_slope = nn.Parameter(torch.tensor(-3.0))  # a; softplus keeps it positive
        n_subsets = 2**n_modalities if n_modalities <= MAX_MODALITIES_WITH_SUBSETS else n_modalities + 1
        self.register_buffer("sizes", count_modalities(n_modalities, n_subsets))
        # Modalities share information: |S| posteriors count less than their sum.
        self.log_kappa = nn.Parameter(-self.sizes.clamp(min=1).log() / 2)
        self.log_lambda = nn.Parameter(torch.full((n_subsets,), -1.0))

    def describe_calibration(self) -> dict[str, Tensor]:
        """Return b (M,), a (1,), kappa and lambda by subset; bit m of the index says that m is present."""
        slope, kappa, share = F.softplus(self.raw_slope), self.log_kappa.exp(), self.log_lambda.exp()
        return {"worth": self.base_logits, "slope": slope, "kappa": kappa, "lambda": share}

    def compute_weights(self, in_dist: Tensor, correct: Tensor, presence: Tensor) -> FusionWeights:
        """Compute weights, whose rows sum to 1, from log-odds of d and q, and presence: (B, M) each."""
        # softplus, not logsigmoid: onnxruntime makes that log(sigmoid), which is infinite from -80 on.
        minus_log_d, minus_log_q = F.softplus(-in_dist), F.softplus(-correct)
        slope = F.softplus(self.raw_slope)
        logits = self.base_logits - slope * minus_log_q - IN_DISTRIBUTION_POWER * minus_log_d
        if self.uniform:
            logits = torch.zeros_like(logits) + self.base_logits.mean()
            in_dist = torch.full_like(in_dist, torch.inf)
        # masked_fill, not a product with the mask: an absent slot may hold NaN.
        logits = logits.masked_fill(~presence, -torch.inf)
        return FusionWeights(logits, logits.softmax(-1), in_dist.sigmoid().masked_fill(~presence, 0.0))

    def fuse(
        self, posterior_logits: Tensor, joint: Tensor, weighting: FusionWeights, presence: Tensor
    ) -> Tensor:
        """Fuse modality posteriors (B, M, C) with the joint branch's log-probabilities (B, C) -> (B, C)"""
        subset = self.index_subsets(presence)
        weighted = (weighting.logits.exp()[:, :, None] * posterior_logits).sum(1)
        pooled = self.log_kappa.exp()[subset][:, None] * weighted
        share = self.log_lambda.exp()[subset] * (weighting.weights * weighting.in_dist).sum(-1)
        return F.log_softmax(pooled + share[:, None] * joint, dim=-1)

    def index_subsets(self, presence: Tensor) -> Tensor:
        """Return the index of each sample's subset: (B, M) bool -> (B,)"""
        n_modalities = presence.shape[1]
        if n_modalities > MAX_MODALITIES_WITH_SUBSETS:
            return presence.sum(-1)
        return (presence * 2 ** torch.arange(n_modalities, device=presence.device)).sum(-1)


def count_modalities(n_modalities: int, n_subsets: int) -> Tensor:
    """Count the modalities of each subset: (n_subsets,)"""
    if n_modalities > MAX_MODALITIES_WITH_SUBSETS:
        return torch.arange(n_subsets, dtype=torch.float32)
    return torch.tensor([float(index.bit_count()) for index in range(n_subsets)])


def compute_disagreement(log_posteriors: Tensor, weights: Tensor) -> Tensor:
    """Compute the Jensen-Shannon divergence (Lin 1991) of the modality posteriors under the fusion weights.

    In bits: (B, M, C) log-probabilities, (B, M) -> (B,). It is 0 if all agree, or one is alone; and 1 if two
    of equal weight are certain of different classes.
    """
    weighted = weights[:, :, None] * log_posteriors.exp()
    mean = weighted.sum(1)
    apart = (weighted * log_posteriors).sum((1, 2)) - (mean * mean.clamp(min=1e-12).log()).sum(-1)
    return apart.clamp(min=0.0) / math.log(2)


def compute_modulation(weights: Tensor, presence: Tensor) -> Tensor:
    """Compute u, the scale of each modality in the joint branch: (B, M), (B, M) -> (B, M) in 0..1"""
    return (2 * weights * presence.sum(-1, keepdim=True)).clamp(max=1.0)
