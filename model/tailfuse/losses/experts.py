"""Experts: classifiers that differ only in what their loss adds to the logits.

Expert e is trained with cross_entropy(logits + tau_e * log(prior)). tau 0 is plain softmax and knows the
frequent classes best; tau 1 is balanced softmax (Ren et al. 2020; logit adjustment, Menon et al. 2021);
tau 2 leans towards rare classes, like the inverse expert of SADE (Zhang et al. 2022).
Nothing is added at inference: the experts predict free of the training prior.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def compute_adjustments(prior: Tensor, taus: Sequence[float]) -> Tensor:
    """Compute what each expert's loss adds to its logits: (C,) -> (E, C)"""
    return torch.tensor(taus, dtype=prior.dtype)[:, None] * prior.log()


def aggregate(logits: Tensor) -> Tensor:
    """Return joint log-probabilities of the experts, the geometric mean: (..., E, C) -> (..., C)"""
    # One expert is its own mean: a graph of fewer steps.
    mean = logits.squeeze(-2) if count_experts(logits) == 1 else logits.mean(-2)
    return F.log_softmax(mean, dim=-1)


def count_experts(logits: Tensor) -> int:
    """Count the experts of logits (..., E, C). Not by the shape: while a graph is traced it is no number."""
    return len(logits.unbind(-2))
