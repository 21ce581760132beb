"""Validation scores of a network, and what baselines fit on validation rows."""

from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from scipy.optimize import minimize_scalar
from torch import Tensor

from tailfuse.data.split_arrays import SplitArrays
from tailfuse.network.baselines.fused import Baseline
from tailfuse.network.network import Answer
from tailfuse.network.ragged import Rows
from tailfuse.network.tensors import make_tensors

SHARPEST = 10.0  # a temperature is between this and its inverse
SHARPNESSES = np.logspace(-1, 1, 21)


class ValidatedNetwork(Protocol):
    """The methods of a network that validation needs."""

    training: bool
    modalities: list[str]

    @property
    def ranks(self) -> Tensor | None:
        """The order of the modalities, 0 the best, if the network has one to be set: (M,)"""

    def eval(self) -> Any: ...

    def __call__(self, inputs: Rows, rows: Rows, presence: Tensor) -> Answer: ...


def validate(network: ValidatedNetwork, val: SplitArrays, device: torch.device) -> tuple[float, float]:
    """Return the class-balanced negative log-likelihood and the balanced accuracy of the rows.

    The likelihood is that of the best temperature: calibration corrects overconfidence later, which must not
    stop the training of a network that still learns to separate classes.
    """
    if network.ranks is not None:
        network.ranks.copy_(rank_modalities(network, val, device))
    return compute_validation_scores(network, val, device)


def compute_validation_scores(
    network: ValidatedNetwork, val: SplitArrays, device: torch.device
) -> tuple[float, float]:
    """Compute the scores of `validate` without ranking the modalities."""
    log_p, labels = predict_log_p(network, val, device)
    weight = compute_class_weights(labels)
    losses = [compute_balanced_loss(log_p * float(sharpness), labels, weight) for sharpness in SHARPNESSES]
    right = (log_p.argmax(1) == labels) * weight
    return round(min(losses), 4), float(right.sum())


@torch.no_grad()
def predict_log_p(
    network: ValidatedNetwork, part: SplitArrays, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Predict log-probabilities (n, C) of the rows, and return them with the labels (n,)."""
    if network.training:
        network.eval()
    log_p = torch.cat(
        [
            network(*make_tensors(piece.batch(), device)).probabilities.log().cpu()
            for piece in part.batches(256)
        ]
    )
    return log_p.clamp(min=-80), torch.from_numpy(part.labels)


def compute_class_weights(labels: Tensor) -> Tensor:
    """Compute weights that sum to 1, with the same sum for every class: (n,) -> (n,)"""
    counts = torch.bincount(labels).float()
    return 1 / (counts[labels] * (counts > 0).sum())


def compute_balanced_loss(logits: Tensor, labels: Tensor, weight: Tensor) -> float:
    """Compute the weighted negative log-likelihood: (n, C), (n,), (n,)"""
    return float((F.cross_entropy(logits, labels, reduction="none") * weight).sum())


def rank_modalities(network: ValidatedNetwork, val: SplitArrays, device: torch.device) -> Tensor:
    """Rank the modalities by the validation loss of each alone, 0 the smallest; one without rows is last."""
    alone = [val.only([name]) for name in network.modalities]
    losses = [compute_validation_scores(network, part, device)[0] if len(part) else np.inf for part in alone]
    return torch.from_numpy(np.argsort(np.argsort(losses, kind="stable")))


def fit_temperature(network: Baseline, val: SplitArrays, device: torch.device) -> None:
    """Fit the temperature with the smallest class-balanced loss on validation rows (Guo et al. 2017)."""
    network.temperature.fill_(1.0)
    log_p, labels = predict_log_p(network, val, device)
    weight = compute_class_weights(labels)
    best = minimize_scalar(
        lambda log_sharpness: compute_balanced_loss(log_p * float(np.exp(log_sharpness)), labels, weight),
        bounds=(-np.log(SHARPEST), np.log(SHARPEST)), method="bounded",
    )  # fmt: skip
    network.temperature.fill_(float(np.exp(-best.x)))
