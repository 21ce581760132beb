"""Probabilities of rows by networks that were not trained on them, under the fitted calibration.

Letters: N rows, C classes.
"""

from collections.abc import Sequence

import numpy as np
import torch

from tailfuse.calibration.calibration_set import CalibrationRows
from tailfuse.calibration.fit_fusion import predict_joint
from tailfuse.calibration.fusion_inputs import compute_fusion_inputs
from tailfuse.data.classes import order_by_class
from tailfuse.evaluation.out_of_fold import OutOfFold
from tailfuse.network.network import Network

MAX_NUMBERS = 5_000_000  # probabilities that are kept: 20 MB. Of more rows the classes give evenly.


@torch.no_grad()
def predict_out_of_fold(
    network: Network, calibration_set: Sequence[CalibrationRows], device: torch.device
) -> OutOfFold:
    """Predict each row by the network that was not trained on it, fused as by `network`."""
    limit = MAX_NUMBERS // (network.n_classes * len(calibration_set))
    rows, probabilities = [], []
    for other, part in calibration_set:
        kept = part.take(np.sort(order_by_class(part.labels)[:limit]))
        if not len(kept) or kept.rows is None:
            continue
        inputs = compute_fusion_inputs(network, CalibrationRows(other, kept), device)
        weighting = network.fusion.compute_weights(inputs.in_dist, inputs.correct, inputs.presence)
        joint = predict_joint(network, inputs)
        log_p = network.fusion.fuse(inputs.posterior_logits, joint, weighting, inputs.presence)
        rows.append(kept.rows)
        probabilities.append(log_p.exp().cpu().numpy())
    if not rows:
        return OutOfFold(np.zeros(0, np.int64), np.zeros((0, network.n_classes), np.float32))
    return OutOfFold(np.concatenate(rows), np.concatenate(probabilities))
