"""Fit the fusion to the calibration set, over random subsets of each row's modalities."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from tailfuse.calibration.held_out import CalibrationRows, balanced, select_class
from tailfuse.losses.experts import aggregate
from tailfuse.network.fusion import FusionWeights, compute_modulation
from tailfuse.network.network import Network
from tailfuse.network.tensors import make_tensors

ROUNDS, STEPS = 2, 150
SUBSETS = 3  # of each row, drawn at random, beside all that it has
WHOLE = 3.0  # how much more than one of these all that it has counts
# How many rows each starting value counts as: a small calibration set tells only so much.
PRIOR_STRENGTH = {"base_logits": 10.0, "raw_slope": 10.0, "log_kappa": 1.0, "log_lambda": 1.0}


class Answers(NamedTuple):
    """One network's inputs of the fusion for its part of the calibration set."""

    posterior_logits: Tensor  # (H, M, C)
    embeddings: Tensor  # (H, M, W)
    in_dist: Tensor  # (H, M)
    correct: Tensor  # (H, M)
    presence: Tensor  # (H, M)
    labels: Tensor  # (H,)
    weight: Tensor  # (H,)
    network: Network


def fit_fusion(
    network: Network, held_out: Sequence[CalibrationRows], *, seed: int, device: torch.device
) -> None:
    """Fit b, a, kappa and lambda by class-balanced cross-entropy."""
    fusion, generator = network.fusion, torch.Generator().manual_seed(seed)
    with torch.no_grad():
        fusion.base_logits.copy_(network.posteriors.temperature.log())
    start = {name: parameter.detach().clone() for name, parameter in fusion.named_parameters()}
    seen = [add_subsets(answers(network, each, device), generator) for each in held_out if len(each.part)]
    posterior_logits, in_dist, correct, presence, labels, weight = (
        torch.cat([getattr(each, name) for each in seen])
        for name in ("posterior_logits", "in_dist", "correct", "presence", "labels", "weight")
    )
    rows = len(labels) / (1 + SUBSETS)
    fusion.requires_grad_(True)
    for _ in range(ROUNDS):  # the joint branch's answers follow the weights, a round late
        joint = torch.cat([predict_joint(network, each) for each in seen])
        optimizer = torch.optim.Adam(fusion.parameters(), lr=0.03)
        for _ in range(STEPS):
            weighting = fusion.compute_weights(in_dist, correct, presence)
            log_p = fusion.fuse(posterior_logits, joint, weighting, presence)
            loss = -(select_class(log_p, labels) * weight).sum() / weight.sum()
            for name, parameter in fusion.named_parameters():
                loss = loss + PRIOR_STRENGTH[name] / rows * (parameter - start[name]).square().sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    fusion.requires_grad_(False)


@torch.no_grad()
def answers(network: Network, held_out: CalibrationRows, device: torch.device) -> Answers:
    """Score the rows under their own network; posteriors and confidences are those of `network`."""
    other, part = held_out
    pieces = []
    for piece in part.batches(256):
        inputs, rows, presence = make_tensors(piece.batch(), device)
        scores = other.score_batch(inputs, rows, len(piece))
        posterior_logits = network.posteriors.soften(network.posteriors(scores.log_p, scores.densities))
        in_dist, correct = network.confidences(scores.statistics)
        labels = torch.from_numpy(piece.labels).to(device)
        pieces.append((posterior_logits, scores.embedding, in_dist, correct, presence, labels))
    posterior_logits, embeddings, in_dist, correct, presence, labels = (
        torch.cat(each) for each in zip(*pieces, strict=True)
    )
    return Answers(posterior_logits, embeddings, in_dist, correct, presence, labels, balanced(labels), other)


@torch.no_grad()
def predict_joint(network: Network, seen: Answers) -> Tensor:
    """Return the log-probabilities of the joint branch under the current weights: (H, C)"""
    weighting: FusionWeights = network.fusion.compute_weights(seen.in_dist, seen.correct, seen.presence)
    return aggregate(
        seen.network.joint(seen.embeddings, compute_modulation(weighting.weights, seen.presence))
    )


def add_subsets(seen: Answers, generator: torch.Generator) -> Answers:
    """Return every row as it is, and again with random subsets of its modalities."""
    rows = torch.arange(len(seen.labels), device=seen.labels.device).repeat(1 + SUBSETS)
    presence = seen.presence[rows]
    n = len(seen.labels)
    presence[n:] = draw_subset(presence[n:], generator)
    weight = seen.weight[rows]
    weight[:n] *= WHOLE
    posterior_logits, embeddings, in_dist, correct = (each[rows] for each in seen[:4])
    return Answers(
        posterior_logits,
        embeddings,
        in_dist,
        correct,
        presence,
        seen.labels[rows],
        weight,
        seen.network,
    )


def draw_subset(presence: Tensor, generator: torch.Generator) -> Tensor:
    """Draw a subset of each row's modalities: at least one, and every number of them equally likely."""
    order = torch.rand(presence.shape, generator=generator).to(presence.device).masked_fill(~presence, 2.0)
    rank = order.argsort(1).argsort(1)  # present ones first
    kept = torch.rand(len(presence), 1, generator=generator).to(presence.device) * presence.sum(
        1, keepdim=True
    )
    return presence & (rank <= kept)
