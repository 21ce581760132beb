"""The fusion, fitted on held-out rows over random subsets of their modalities."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from tailfuse.network.experts import aggregate
from tailfuse.network.fusion import Trust, modulation
from tailfuse.network.network import Network
from tailfuse.network.tensors import tensors_of
from tailfuse.training.held_out import HeldOut, balanced, own_class

ROUNDS, STEPS = 2, 150
SUBSETS = 3  # of each row, drawn at random, beside all that it has
WHOLE = 3.0  # how much more than one of these all that it has counts
# How many rows' worth of belief there is in where each number starts: few rows can tell only so much.
PULL = {"worth": 10.0, "raw_slope": 10.0, "log_kappa": 1.0, "log_lambda": 1.0}


class Answers(NamedTuple):
    """What one network gives the fusion for its held-out rows, each with several subsets."""

    votes: Tensor  # (H, M, C)
    embeddings: Tensor  # (H, M, W)
    real: Tensor  # (H, M)
    right: Tensor  # (H, M)
    presence: Tensor  # (H, M)
    labels: Tensor  # (H,)
    weight: Tensor  # (H,)
    network: Network


def fit_fusion(network: Network, held_out: Sequence[HeldOut], *, seed: int, device: torch.device) -> None:
    """Fit b, a, kappa and lambda by class-balanced cross-entropy."""
    fusion, generator = network.fusion, torch.Generator().manual_seed(seed)
    with torch.no_grad():
        fusion.worth.copy_(network.posteriors.temperature.log())
    start = {name: parameter.detach().clone() for name, parameter in fusion.named_parameters()}
    seen = [thinned(answers(network, each, device), generator) for each in held_out if len(each.part)]
    votes, real, right, presence, labels, weight = (
        torch.cat([getattr(each, name) for each in seen])
        for name in ("votes", "real", "right", "presence", "labels", "weight")
    )
    rows = len(labels) / (1 + SUBSETS)
    fusion.requires_grad_(True)
    for _ in range(ROUNDS):  # the joint branch's answers follow the weights, a round late
        joint = torch.cat([joint_of(network, each) for each in seen])
        optimizer = torch.optim.Adam(fusion.parameters(), lr=0.03)
        for _ in range(STEPS):
            trust = fusion.trust(real, right, presence)
            log_p = fusion.log_probabilities(votes, joint, trust, presence)
            loss = -(own_class(log_p, labels) * weight).sum() / weight.sum()
            for name, parameter in fusion.named_parameters():
                loss = loss + PULL[name] / rows * (parameter - start[name]).square().sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    fusion.requires_grad_(False)


@torch.no_grad()
def answers(network: Network, held_out: HeldOut, device: torch.device) -> Answers:
    """Held-out rows under their own network; votes and confidences as fitted in `network`."""
    other, part = held_out
    pieces = []
    for piece in part.batches(256):
        inputs, rows, presence = tensors_of(piece.batch(), device)
        scores = other.score_batch(inputs, rows, len(piece))
        votes = network.posteriors.soften(network.posteriors(scores.log_p, scores.densities))
        real, right = network.confidences(scores.statistics)
        labels = torch.from_numpy(piece.labels).to(device)
        pieces.append((votes, scores.embedding, real, right, presence, labels))
    votes, embeddings, real, right, presence, labels = (torch.cat(each) for each in zip(*pieces, strict=True))
    return Answers(votes, embeddings, real, right, presence, labels, balanced(labels), other)


@torch.no_grad()
def joint_of(network: Network, seen: Answers) -> Tensor:
    """What the rows' own joint branch says under the weights as they are now: (H, C)"""
    trust: Trust = network.fusion.trust(seen.real, seen.right, seen.presence)
    return aggregate(seen.network.joint(seen.embeddings, modulation(trust.weights, seen.presence)))


def thinned(seen: Answers, generator: torch.Generator) -> Answers:
    """Every row as it is, and again with random subsets of its modalities."""
    rows = torch.arange(len(seen.labels), device=seen.labels.device).repeat(1 + SUBSETS)
    presence = seen.presence[rows]
    n = len(seen.labels)
    presence[n:] = thin(presence[n:], generator)
    weight = seen.weight[rows]
    weight[:n] *= WHOLE
    votes, embeddings, real, right = (each[rows] for each in seen[:4])
    return Answers(votes, embeddings, real, right, presence, seen.labels[rows], weight, seen.network)


def thin(presence: Tensor, generator: torch.Generator) -> Tensor:
    """A random subset of each row's modalities: every number of them equally likely, one at least."""
    order = torch.rand(presence.shape, generator=generator).to(presence.device).masked_fill(~presence, 2.0)
    rank = order.argsort(1).argsort(1)  # present ones first
    kept = torch.rand(len(presence), 1, generator=generator).to(presence.device) * presence.sum(
        1, keepdim=True
    )
    return presence & (rank <= kept)
