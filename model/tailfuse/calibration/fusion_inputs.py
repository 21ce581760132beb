"""Inputs of the fusion for the calibration set, scored by the networks that were not trained on its rows."""

from typing import NamedTuple

import torch
from torch import Tensor

from tailfuse.calibration.calibration_set import CalibrationRows, compute_row_weights
from tailfuse.network.conflict import Conflict
from tailfuse.network.network import Network
from tailfuse.network.tensors import make_tensors


class FusionInputs(NamedTuple):
    """Inputs of the fusion, by one network for its part of the calibration set."""

    log_posteriors: Tensor  # (H, M, C)
    posterior_logits: Tensor  # (H, M, C), divided by the temperature
    embeddings: Tensor  # (H, M, W)
    own_in_dist: Tensor  # (H, M), of each modality by itself
    in_dist: Tensor  # (H, M), after their conflict
    correct: Tensor  # (H, M)
    presence: Tensor  # (H, M)
    labels: Tensor  # (H,)
    weight: Tensor  # (H,)
    network: Network  # that scored the rows
    conflict: Conflict  # of the network that is calibrated


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
        log_posteriors = network.posteriors(scores.log_p, scores.densities, scores.linear, scores.forest)
        own_in_dist, correct = network.confidences(scores.statistics)
        labels = torch.from_numpy(piece.labels).to(device)
        pieces.append((log_posteriors, scores.embedding, own_in_dist, correct, presence, labels))
    log_posteriors, embeddings, own_in_dist, correct, presence, labels = (
        torch.cat(each) for each in zip(*pieces, strict=True)
    )
    return FusionInputs(
        log_posteriors, network.posteriors.soften(log_posteriors), embeddings, own_in_dist,
        network.conflict(log_posteriors, own_in_dist, presence).in_dist, correct, presence, labels,
        compute_row_weights(labels), other, network.conflict,
    )  # fmt: skip


def draw_subset(presence: Tensor, generator: torch.Generator) -> Tensor:
    """Draw a subset of each row's modalities: at least one, and every number of them equally likely."""
    order = torch.rand(presence.shape, generator=generator).to(presence.device).masked_fill(~presence, 2.0)
    rank = order.argsort(1).argsort(1)  # present ones first
    kept = torch.rand(len(presence), 1, generator=generator).to(presence.device) * presence.sum(
        1, keepdim=True
    )
    return presence & (rank <= kept)
