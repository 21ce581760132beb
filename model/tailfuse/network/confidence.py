"""Confidence: a modality's estimated probability of being right for this sample.

    c = P(the row is real) * P(right | it is real)

A small network per modality sees statistics of how the modality's experts answer and of how unlike the
training rows its row is. "Right" is learnt from the true-class probability of the modality's vote
(Corbière et al. 2019; Han et al. 2022), on rows that the encoder has NOT been trained on: on its own
training rows an encoder is always sure, and the confidence would learn nothing. "Real" is learnt by telling
such rows from damaged copies of them.
"""

import math
from collections.abc import Iterable, Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tailfuse.network.generative import N_DENSITIES

N_STATISTICS = 6 + N_DENSITIES
LEAST = math.log(1e-6)  # how unlikely all other classes can be
REAL = 4.0  # the log-odds of being real until they are fitted: nothing is suspected
# From this many standard deviations beyond the held-out rows on, a row is the less real the farther it is.
FAR, PER_DEVIATION = 4.0, 2.0


def statistics(logits: Tensor, densities: Tensor, strangeness: Tensor) -> Tensor:
    """(n, E, C), (n, C), (n, 4) -> (n, 10)

    Of the softmax experts' joint answer: log-odds of the top class, log ratio of the top two, entropy, and
    the experts' disagreement. Of the generative expert: log ratio of its top two, and its disagreement with
    the others. Its strangeness comes last. None moves when a constant is added to all logits.
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
    generative = F.log_softmax(densities, dim=-1)
    nearest, next_one = densities.topk(2, dim=-1).values.split(1, dim=-1)
    # Far from every class densities differ by hundreds; what counts is their order of magnitude.
    ratio = torch.asinh(nearest - next_one)
    against = torch.asinh((p * (joint - generative)).sum(-1, keepdim=True))
    return torch.cat([odds, top - second, entropy, disagreement, ratio, against, strangeness], dim=-1)


class ConfidenceNetwork(nn.Module):
    """Statistics -> the log-odds of being real, and of being right. Small: it is fitted on few rows."""

    mean: Tensor
    scale: Tensor
    per_deviation: Tensor

    def __init__(self, hidden: int = 16) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(N_STATISTICS))
        self.register_buffer("scale", torch.ones(N_STATISTICS))
        self.register_buffer(
            "per_deviation", torch.tensor(0.0)
        )  # PER_DEVIATION, where damaged rows were seen
        self.first, self.last = nn.Linear(N_STATISTICS, hidden), nn.Linear(hidden, 2)
        # Until it is fitted every modality is trusted alike.
        nn.init.zeros_(self.last.weight)
        with torch.no_grad():
            self.last.bias.copy_(torch.tensor([REAL, 0.0]))

    def forward(self, seen: Tensor) -> tuple[Tensor, Tensor]:
        """(n, 10) -> the log-odds of being real (n,), and of being right if so (n,)"""
        seen = (seen - self.mean) / self.scale
        real, right = self.last(torch.tanh(self.first(seen))).unbind(-1)
        # tanh levels off; how far outside of everything seen a row lies must not.
        beyond = (seen[:, -N_DENSITIES:].amax(-1) - FAR).clamp(min=0.0)
        return real - self.per_deviation * beyond, right


def all_doubts(networks: Iterable[nn.Module], seen: Tensor) -> tuple[Tensor, Tensor]:
    """What each modality's network says of its statistics: (B, M, 10) -> log-odds (B, M) and (B, M)"""
    each = [cast(ConfidenceNetwork, network) for network in networks]
    seen = (seen - torch.stack([one.mean for one in each])) / torch.stack([one.scale for one in each])
    by_modality = seen.transpose(0, 1)
    hidden = torch.tanh(batched([one.first for one in each], by_modality))
    real, right = batched([one.last for one in each], hidden).transpose(0, 1).unbind(-1)
    beyond = (seen[..., -N_DENSITIES:].amax(-1) - FAR).clamp(min=0.0)
    return real - torch.stack([one.per_deviation for one in each]) * beyond, right


def batched(layers: Sequence[nn.Linear], values: Tensor) -> Tensor:
    """M linear layers, each on its own rows: (M, n, I) -> (M, n, O)"""
    weights = torch.stack([layer.weight.T for layer in layers])
    return values @ weights + torch.stack([layer.bias for layer in layers])[:, None]
