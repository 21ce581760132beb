"""Fit the fusion to the calibration set, over random subsets of each row's modalities."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from tailfuse.calibration.calibration_set import CalibrationRows, select_class
from tailfuse.calibration.fusion_inputs import FusionInputs, compute_fusion_inputs, draw_subset
from tailfuse.losses.experts import aggregate
from tailfuse.network.fusion import FusionWeights, compute_modulation
from tailfuse.network.network import Network

ROUNDS, STEPS = 2, 150
SUBSETS_PER_ROW = 3  # drawn at random for each row, beside the whole row
WHOLE_ROW_WEIGHT = 3.0  # weight of the whole row, relative to one of these
# How many rows each starting value counts as: a small calibration set determines little.
PRIOR_STRENGTH = {"base_logits": 10.0, "raw_slope": 10.0, "log_kappa": 1.0, "log_lambda": 1.0}


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
def predict_joint(network: Network, inputs: FusionInputs) -> Tensor:
    """Return the log-probabilities of the joint branch under the current weights: (H, C)"""
    weighting: FusionWeights = network.fusion.compute_weights(inputs.in_dist, inputs.correct, inputs.presence)
    return aggregate(
        inputs.network.joint(inputs.embeddings, compute_modulation(weighting.weights, inputs.presence))
    )


def add_subsets(inputs: FusionInputs, generator: torch.Generator) -> FusionInputs:
    """Return every row as it is, and again with random subsets of its modalities."""
    n = len(inputs.labels)
    rows = torch.arange(n, device=inputs.labels.device).repeat(1 + SUBSETS_PER_ROW)
    tensors: dict[str, Any] = {
        name: each[rows] for name, each in inputs._asdict().items() if isinstance(each, Tensor)
    }
    repeated = inputs._replace(**tensors)
    presence, weight = tensors["presence"], tensors["weight"]
    presence[n:] = draw_subset(presence[n:], generator)
    weight[:n] *= WHOLE_ROW_WEIGHT
    with torch.no_grad():  # fewer modalities may be in less conflict
        judged = inputs.conflict(repeated.log_posteriors, repeated.own_in_dist, presence)
    return repeated._replace(presence=presence, weight=weight, in_dist=judged.in_dist)
