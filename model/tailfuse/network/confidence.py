"""Confidence: a modality's estimated probability of being right for this sample.

    c = P(the row is real) * P(right | it is real)

A small network per modality sees statistics of how the modality's experts answer and of how unlike the
training rows its row is. "Right" is learnt from the true-class probability of the modality's vote
(Corbière et al. 2019; Han et al. 2022), on rows that the encoder has NOT been trained on: on its own
training rows an encoder is always sure, and the confidence would learn nothing. "Real" is learnt by telling
such rows from corrupted copies of them.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tailfuse.network.plda import N_DENSITIES

N_STATISTICS = 6 + N_DENSITIES
LEAST = math.log(1e-6)  # how unlikely all other classes can be
REAL = 4.0  # the log-odds of being real until they are fitted: nothing is suspected
# From this many standard deviations beyond the calibration set on, a row is the less real the farther it is.
FAR, PER_DEVIATION = 4.0, 2.0


def statistics(logits: Tensor, densities: Tensor, ood_scores: Tensor) -> Tensor:
    """(n, E, C), (n, C), (n, 4) -> (n, 10)

    Of the softmax experts' joint answer: log-odds of the top class, log ratio of the top two, entropy, and
    the experts' disagreement. Of the PLDA head: log ratio of its top two, and its disagreement with
    the others. Its OOD scores come last. None moves when a constant is added to all logits.
    """
    each = F.log_softmax(logits, dim=-1)  # (n, E, C)
    joint = F.log_softmax(logits.mean(-2), dim=-1)  # (n, C)
    p = joint.exp()
    two, at = joint.topk(2, dim=-1)
    top, second = two.split(1, dim=-1)
    # Summed up, not 1 - p: of that little is left where p is almost 1.
    is_top = torch.arange(joint.shape[-1], device=at.device) == at[:, :1]
    others = joint.masked_fill(is_top, -torch.inf).logsumexp(-1, keepdim=True)
    odds = top - others.clamp(min=LEAST)
    entropy = -(p * joint).sum(-1, keepdim=True)
    disagreement = (each.exp() * (each - joint[:, None])).sum(-1).mean(-1, keepdim=True)
    plda = F.log_softmax(densities, dim=-1)
    nearest, next_one = densities.topk(2, dim=-1).values.split(1, dim=-1)
    # Far from every class densities differ by hundreds; what counts is their order of magnitude.
    ratio = torch.asinh(nearest - next_one)
    against = torch.asinh((p * (joint - plda)).sum(-1, keepdim=True))
    return torch.cat([odds, top - second, entropy, disagreement, ratio, against, ood_scores], dim=-1)


class Confidences(nn.Module):
    """Statistics -> the log-odds of being real, and of being right. Small: it is fitted on few rows.

    One network per modality; their parameters are stacked, (M, ...) each.
    """

    mean: Tensor
    scale: Tensor
    per_deviation: Tensor

    def __init__(self, n_modalities: int, hidden: int = 16) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(n_modalities, N_STATISTICS))
        self.register_buffer("scale", torch.ones(n_modalities, N_STATISTICS))
        # PER_DEVIATION, where damaged rows were seen.
        self.register_buffer("per_deviation", torch.zeros(n_modalities))
        layers = [nn.Linear(N_STATISTICS, hidden) for _ in range(n_modalities)]  # for how these are drawn
        self.hidden_weight = nn.Parameter(torch.stack([layer.weight.detach() for layer in layers]))
        self.hidden_bias = nn.Parameter(torch.stack([layer.bias.detach() for layer in layers]))
        # Until they are fitted every modality is trusted alike.
        self.weight = nn.Parameter(torch.zeros(n_modalities, 2, hidden))
        self.bias = nn.Parameter(torch.tensor([REAL, 0.0]).repeat(n_modalities, 1))

    def forward(self, statistics: Tensor) -> tuple[Tensor, Tensor]:
        """(n, M, 10) -> the log-odds of being real (n, M), and of being right if so (n, M)"""
        scaled = (statistics - self.mean) / self.scale
        hidden = torch.tanh(linear(scaled.transpose(0, 1), self.hidden_weight, self.hidden_bias))
        real, right = linear(hidden, self.weight, self.bias).transpose(0, 1).unbind(-1)
        # tanh levels off; how far outside of everything seen a row lies must not.
        beyond = (scaled[..., -N_DENSITIES:].amax(-1) - FAR).clamp(min=0.0)
        return real - self.per_deviation * beyond, right


def linear(values: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """M linear layers, each on its own rows: (M, n, I), (M, O, I), (M, O) -> (M, n, O)"""
    if len(weight) == 1:  # one modality, as while fitting, needs no batched product
        return F.linear(values[0], weight[0], bias[0])[None]
    return values @ weight.transpose(1, 2) + bias[:, None]
