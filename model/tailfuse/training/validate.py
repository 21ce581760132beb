"""How good a network is on validation rows, and what a baseline is given of them."""

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
    """What validation asks of a network."""

    training: bool
    modalities: list[str]

    @property
    def ranks(self) -> Tensor | None:
        """The order of the modalities, 0 the best, if the network has one to be set: (M,)"""

    def eval(self) -> Any: ...

    def __call__(self, inputs: Rows, rows: Rows, presence: Tensor) -> Answer: ...


def validate(network: ValidatedNetwork, val: SplitArrays, device: torch.device) -> tuple[float, float]:
    """Class-balanced negative log-likelihood, and balanced accuracy, of the rows as they are.

    The likelihood is that of the best temperature: being too sure is mended by calibration later, and
    must not stop the training of what still learns to tell classes apart.
    """
    if network.ranks is not None:
        network.ranks.copy_(rank_modalities(network, val, device))
    return judged(network, val, device)


def judged(network: ValidatedNetwork, val: SplitArrays, device: torch.device) -> tuple[float, float]:
    """See validate."""
    log_p, labels = answered(network, val, device)
    weight = class_weights(labels)
    losses = [balanced_loss(log_p * float(sharpness), labels, weight) for sharpness in SHARPNESSES]
    right = (log_p.argmax(1) == labels) * weight
    return round(min(losses), 4), float(right.sum())


@torch.no_grad()
def answered(network: ValidatedNetwork, part: SplitArrays, device: torch.device) -> tuple[Tensor, Tensor]:
    """Log-probabilities (n, C) and labels (n,) of a part's rows."""
    if network.training:
        network.eval()
    log_p = torch.cat(
        [
            network(*make_tensors(piece.batch(), device)).probabilities.log().cpu()
            for piece in part.batches(256)
        ]
    )
    return log_p.clamp(min=-80), torch.from_numpy(part.labels)


def class_weights(labels: Tensor) -> Tensor:
    """Every class counts alike: (n,) -> (n,), of sum 1"""
    counts = torch.bincount(labels).float()
    return 1 / (counts[labels] * (counts > 0).sum())


def balanced_loss(logits: Tensor, labels: Tensor, weight: Tensor) -> float:
    """Weighted negative log-likelihood: (n, C), (n,), (n,)"""
    return float((F.cross_entropy(logits, labels, reduction="none") * weight).sum())


def rank_modalities(network: ValidatedNetwork, val: SplitArrays, device: torch.device) -> Tensor:
    """Rank the modalities by the validation loss of each alone, 0 the smallest; one without rows is last."""
    alone = [val.only([name]) for name in network.modalities]
    losses = [judged(network, part, device)[0] if len(part) else np.inf for part in alone]
    return torch.from_numpy(np.argsort(np.argsort(losses, kind="stable")))


def fit_temperature(network: Baseline, val: SplitArrays, device: torch.device) -> None:
    """The temperature of the smallest class-balanced loss of validation rows (Guo et al. 2017)."""
    network.temperature.fill_(1.0)
    log_p, labels = answered(network, val, device)
    weight = class_weights(labels)
    best = minimize_scalar(
        lambda log_sharpness: balanced_loss(log_p * float(np.exp(log_sharpness)), labels, weight),
        bounds=(-np.log(SHARPEST), np.log(SHARPEST)), method="bounded",
    )  # fmt: skip
    network.temperature.fill_(float(np.exp(-best.x)))
