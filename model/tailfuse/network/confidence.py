"""Confidence: the probability that a modality is in-distribution and its posterior correct for this sample.

    c = P(the row is in-distribution) * P(correct | it is in-distribution)

A small network per modality receives statistics of its experts' logits and the OOD scores. "Correct" is
learnt from the true-class probability of the modality posterior (Corbière et al. 2019; Han et al. 2022), on
rows that the encoder has NOT been trained on: on its own training rows an encoder is always certain, and the
confidence would learn nothing. "In-distribution" is learnt by classifying such rows against corrupted copies.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tailfuse.losses.experts import aggregate, count_experts
from tailfuse.network.plda import N_DENSITIES

N_STATISTICS = 6 + N_DENSITIES
MIN_LOG_OTHERS = math.log(1e-6)  # a smaller log-probability of all other classes together is clipped
INITIAL_LOG_ODDS = 4.0  # of being in-distribution, until they are fitted
# Beyond this many standard deviations of the calibration set, the log-odds of being in-distribution decrease.
OUTLIER_FROM, SLOPE_PER_DEVIATION = 4.0, 2.0


def compute_statistics(
    logits: Tensor, densities: Tensor, ood_scores: Tensor, shares: Tensor | None = None
) -> Tensor:
    """Compute the confidence network's inputs: (n, E, C), (n, C), (n, 4) -> (n, 10), or with shares (n, 12)

    Of the softmax experts' mean: log-odds of the top class, log ratio of the top two, entropy, and the
    experts' disagreement. Of the PLDA head: log ratio of its top two, and its disagreement with the experts.
    The shares of known n-grams. The OOD scores come last.
    None changes when a constant is added to all logits.
    """
    joint = aggregate(logits)  # (n, C)
    p = joint.exp()
    two, at = joint.topk(2, dim=-1)
    top, second = two.split(1, dim=-1)
    # Summed up, not 1 - p, which loses precision where p is almost 1.
    is_top = torch.arange(joint.shape[-1], device=at.device) == at[:, :1]
    others = joint.masked_fill(is_top, -torch.inf).logsumexp(-1, keepdim=True)
    odds = top - others.clamp(min=MIN_LOG_OTHERS)
    entropy = -(p * joint).sum(-1, keepdim=True)
    disagreement = compute_disagreement(logits, joint)
    plda = F.log_softmax(densities, dim=-1)
    nearest, next_one = densities.topk(2, dim=-1).values.split(1, dim=-1)
    # Far from every class densities differ by hundreds; only their order of magnitude matters.
    ratio = torch.asinh(nearest - next_one)
    against = torch.asinh((p * (joint - plda)).sum(-1, keepdim=True))
    known = [] if shares is None else [shares]
    return torch.cat([odds, top - second, entropy, disagreement, ratio, against, *known, ood_scores], dim=-1)


def compute_disagreement(logits: Tensor, joint: Tensor) -> Tensor:
    """Compute how far the experts are from their mean: (n, E, C), log-probabilities (n, C) -> (n, 1)"""
    if count_experts(logits) == 1:  # one expert agrees with itself
        return torch.zeros_like(joint[:, :1])
    each = F.log_softmax(logits, dim=-1)
    return (each.exp() * (each - joint[:, None])).sum(-1).mean(-1, keepdim=True)


class Confidences(nn.Module):
    """Statistics -> the reliability logits: in-distribution, and correct. Small: it is fitted on few rows.

    One network per modality; their parameters are stacked, (M, ...) each.
    """

    mean: Tensor
    scale: Tensor
    per_deviation: Tensor

    def __init__(self, n_modalities: int, n_statistics: int = N_STATISTICS, hidden: int = 16) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(n_modalities, n_statistics))
        self.register_buffer("scale", torch.ones(n_modalities, n_statistics))
        # SLOPE_PER_DEVIATION, if corrupted rows were in the calibration set.
        self.register_buffer("per_deviation", torch.zeros(n_modalities))
        layers = [nn.Linear(n_statistics, hidden) for _ in range(n_modalities)]  # for their initialisation
        self.hidden_weight = nn.Parameter(torch.stack([layer.weight.detach() for layer in layers]))
        self.hidden_bias = nn.Parameter(torch.stack([layer.bias.detach() for layer in layers]))
        # Until they are fitted every modality has the same confidence.
        self.weight = nn.Parameter(torch.zeros(n_modalities, 2, hidden))
        self.bias = nn.Parameter(torch.tensor([INITIAL_LOG_ODDS, 0.0]).repeat(n_modalities, 1))

    def forward(self, statistics: Tensor) -> tuple[Tensor, Tensor]:
        """(n, M, statistics) -> log-odds of being in-distribution, and if so of being correct: (n, M) each"""
        scaled = (statistics - self.mean) / self.scale
        hidden = torch.tanh(apply_linear(scaled.transpose(0, 1), self.hidden_weight, self.hidden_bias))
        in_dist, correct = apply_linear(hidden, self.weight, self.bias).transpose(0, 1).unbind(-1)
        # tanh saturates; the distance of a row from the calibration set must not.
        excess = (scaled[..., -N_DENSITIES:].amax(-1) - OUTLIER_FROM).clamp(min=0.0)
        return in_dist - self.per_deviation * excess, correct


def apply_linear(values: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Apply M linear layers, each to its own rows: (M, n, I), (M, O, I), (M, O) -> (M, n, O)"""
    if len(weight) == 1:  # one modality, as while fitting, needs no batched product
        return F.linear(values[0], weight[0], bias[0])[None]
    return values @ weight.transpose(1, 2) + bias[:, None]
