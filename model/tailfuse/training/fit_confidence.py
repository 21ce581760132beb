"""Votes and confidences, fitted on held-out rows of one modality at a time."""

import math
from collections.abc import Callable, Mapping, Sequence

import torch
import torch.nn.functional as F
from tailfuse_service.modalities import Modality
from torch import Tensor

from tailfuse.network.confidence import PER_DEVIATION, ConfidenceNetwork
from tailfuse.network.fusion import Vote
from tailfuse.network.network import Network
from tailfuse.training.held_out import Evidence, HeldOut, evidence_of, own_class

VOTE_STEPS, CONFIDENCE_STEPS = 120, 300
# How many of the rows in use are taken to be damaged, beforehand. Of those learnt from it is half.
DAMAGED = 0.15
PULL = 3.0  # rows' worth of belief in where a fit starts


def fit_confidence(
    network: Network, held_out: Sequence[HeldOut], modalities: Mapping[str, Modality],
    features: Mapping[str, Tensor], *, generative: bool, damaged: bool, seed: int, device: torch.device,
) -> None:  # fmt: skip
    """Fit every modality's vote, and then its confidence; `features` as damaged_features makes them.

    Without `generative` the generative expert has no vote; without `damaged` no row's reality is doubted.
    """
    for name in network.modalities:
        evidence = evidence_of(held_out, name, modalities[name], features, seed=seed, device=device)
        if evidence is None:
            continue  # nothing was held out: this modality is trusted like any other
        vote = network.vote(name)
        fit_vote(vote, evidence, generative=generative)
        fit_doubts(network.confidence(name), vote, evidence, damaged=damaged, seed=seed)


def fit_vote(vote: Vote, evidence: Evidence, *, generative: bool) -> None:
    """The powers of both kinds of experts that make held-out classes likely, then the vote's unit."""
    seen, labels, weight = evidence.clean, evidence.labels, evidence.weight

    def loss(log_p: Tensor) -> Tensor:
        return -(own_class(F.log_softmax(log_p, dim=-1), labels) * weight).mean()

    both = torch.tensor([1.0, float(generative)], device=labels.device)
    # Two experts that say the same are worth half each.
    best = torch.stack([best_power(seen.log_p, loss), best_power(seen.densities, loss)])
    start = (best / both.sum()).log()
    powers = start.clone().requires_grad_()
    optimizer = torch.optim.Adam([powers], lr=0.05)
    for _ in range(VOTE_STEPS):
        alpha, delta = powers.exp() * both
        pull = PULL / len(labels) * (powers - start).square().sum()
        optimizer.zero_grad()
        (loss(alpha * seen.log_p + delta * seen.densities) + pull).backward()
        optimizer.step()
    with torch.no_grad():
        vote.powers.copy_(powers.exp() * both)
        vote.unit.fill_(1.0)
        top = vote(seen.log_p, seen.densities).topk(2, dim=-1).values
        # At least a hundredth: what hardly ever prefers a class shall not be blown up without limit.
        vote.unit.copy_(((top[:, 0] - top[:, 1]) * weight).mean().clamp(min=0.01))


@torch.no_grad()
def best_power(log_p: Tensor, loss: Callable[[Tensor], Tensor]) -> Tensor:
    """The best of a grid of powers (inverse temperatures)."""
    grid = torch.logspace(-2.5, 0.7, 33, device=log_p.device)
    losses = torch.stack([loss(power * log_p) for power in grid])
    return grid[losses.argmin()]


def fit_doubts(
    confidence: ConfidenceNetwork, vote: Vote, evidence: Evidence, *, damaged: bool, seed: int
) -> None:
    """Statistics -> real or damaged, and the true-class probability of the vote. Classes count alike."""
    clean, other, weight = evidence.clean, evidence.damaged, evidence.weight
    with torch.no_grad():
        answer = (vote.unit * vote(clean.log_p, clean.densities)).softmax(-1)
        right = own_class(answer, evidence.labels)
        confidence.mean.copy_(clean.statistics.mean(0))
        confidence.scale.copy_(clean.statistics.std(0, correction=0).clamp(min=1e-2))
        confidence.per_deviation.fill_(PER_DEVIATION if damaged else 0.0)
    seen = torch.cat([clean.statistics, other.statistics])
    real = torch.cat([torch.ones_like(weight), torch.zeros(len(other.statistics), device=weight.device)])
    # As much weight on real rows as on all damaged copies: how rare damage is in use comes in at the end.
    weights = torch.cat([weight * len(other.statistics) / len(weight), 1 - real[len(weight) :]])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        confidence.first.reset_parameters()
    confidence.requires_grad_(True)
    optimizer = torch.optim.AdamW(confidence.parameters(), lr=0.02, weight_decay=0.01)
    for _ in range(CONFIDENCE_STEPS):
        reality, rightness = confidence(seen)
        loss = F.binary_cross_entropy_with_logits(rightness[: len(weight)], right, weight)
        if damaged:
            loss = loss + F.binary_cross_entropy_with_logits(reality, real, weights)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    confidence.requires_grad_(False)
    if damaged:
        confidence.last.bias[0] += math.log((1 - DAMAGED) / DAMAGED)
