"""Fit the fusion to the calibration set, over random subsets of each row's modalities."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from tailfuse.calibration.calibration_set import CalibrationRows, compute_row_weights, select_class
from tailfuse.losses.experts import aggregate
from tailfuse.network.fusion import FusionWeights, compute_modulation
from tailfuse.network.network import Network
from tailfuse.network.tensors import make_tensors

ROUNDS, STEPS = 2, 150
SUBSETS_PER_ROW = 3  # drawn at random for each row, beside the whole row
WHOLE_ROW_WEIGHT = 3.0  # weight of the whole row, relative to one of these
# How many rows each starting value counts as: a small calibration set determines little.
PRIOR_STRENGTH = {"base_logits": 10.0, "raw_slope": 10.0, "log_kappa": 1.0, "log_lambda": 1.0}


class FusionInputs(NamedTuple):
    """Inputs of the fusion, by one network for its part of the calibration set."""

    posterior_logits: Tensor  # (H, M, C)
    embeddings: Tensor  # (H, M, W)
    in_dist: Tensor  # (H, M)
    correct: Tensor  # (H, M)
    presence: Tensor  # (H, M)
    labels: Tensor  # (H,)
    weight: Tensor  # (H,)
    network: Network


def fit_fusion(
    network: Network, calibration_set: Sequence[CalibrationRows], *, seed: int, device: torch.device
) -> None:
    """Fit b, a, kappa and lambda by class-balanced cross-entropy."""
    fusion, generator = network.fusion, torch.Generator().manual_seed(seed)
    with torch.no_grad():
        fusion.base_logits.copy_(network.posteriors.temperature.log())
    start = {name: parameter.detach().clone() for name, parameter in fusion.named_parameters()}
    inputs = [
        add_subsets(compute_fusion_inputs(network, each, device), generator)
        for each in calibration_set
        if len(each.part)
    ]
    posterior_logits, in_dist, correct, presence, labels, weight = (
        torch.cat([getattr(each, name) for each in inputs])
        for name in ("posterior_logits", "in_dist", "correct", "presence", "labels", "weight")
    )
    rows = len(labels) / (1 + SUBSETS_PER_ROW)
    fusion.requires_grad_(True)
    for _ in range(ROUNDS):  # the joint branch's predictions depend on the weights of the round before
        joint = torch.cat([predict_joint(network, each) for each in inputs])
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
def compute_fusion_inputs(
    network: Network, calibration_rows: CalibrationRows, device: torch.device
) -> FusionInputs:
    """Score the rows by the network that was not trained on them, and apply the calibration of `network`."""
    other, part = calibration_rows
    pieces = []
    for piece in part.batches(256):
        inputs, rows, presence = make_tensors(piece.batch(), device)
        scores = other.score_batch(inputs, rows, len(piece))
        log_posteriors = network.posteriors(scores.log_p, scores.densities, scores.linear)
        posterior_logits = network.posteriors.soften(log_posteriors)
        in_dist, correct = network.confidences(scores.statistics)
        labels = torch.from_numpy(piece.labels).to(device)
        pieces.append((posterior_logits, scores.embedding, in_dist, correct, presence, labels))
    posterior_logits, embeddings, in_dist, correct, presence, labels = (
        torch.cat(each) for each in zip(*pieces, strict=True)
    )
    return FusionInputs(
        posterior_logits, embeddings, in_dist, correct, presence, labels, compute_row_weights(labels), other
    )


@torch.no_grad()
def predict_joint(network: Network, inputs: FusionInputs) -> Tensor:
    """Return the log-probabilities of the joint branch under the current weights: (H, C)"""
    weighting: FusionWeights = network.fusion.compute_weights(inputs.in_dist, inputs.correct, inputs.presence)
    return aggregate(
        inputs.network.joint(inputs.embeddings, compute_modulation(weighting.weights, inputs.presence))
    )


def add_subsets(inputs: FusionInputs, generator: torch.Generator) -> FusionInputs:
    """Return every row as it is, and again with random subsets of its modalities."""
    rows = torch.arange(len(inputs.labels), device=inputs.labels.device).repeat(1 + SUBSETS_PER_ROW)
    presence = inputs.presence[rows]
    n = len(inputs.labels)
    presence[n:] = draw_subset(presence[n:], generator)
    weight = inputs.weight[rows]
    weight[:n] *= WHOLE_ROW_WEIGHT
    posterior_logits, embeddings, in_dist, correct = (each[rows] for each in inputs[:4])
    return FusionInputs(
        posterior_logits,
        embeddings,
        in_dist,
        correct,
        presence,
        inputs.labels[rows],
        weight,
        inputs.network,
    )


def draw_subset(presence: Tensor, generator: torch.Generator) -> Tensor:
    """Draw a subset of each row's modalities: at least one, and every number of them equally likely."""
    order = torch.rand(presence.shape, generator=generator).to(presence.device).masked_fill(~presence, 2.0)
    rank = order.argsort(1).argsort(1)  # present ones first
    kept = torch.rand(len(presence), 1, generator=generator).to(presence.device) * presence.sum(
        1, keepdim=True
    )
    return presence & (rank <= kept)
