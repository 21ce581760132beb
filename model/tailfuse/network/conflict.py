"""Conflict: the probability that a modality's values belong to another sample than those of the others.

Values of another row look healthy by themselves; only the other modalities can give them away. The
hypotheses are that all modalities present describe one class, or that one of them, m, describes a class
of its own. Modality posteriors p_n are taken as independent, and tempered because they are not quite:

    q_n   = p_n to the power gamma d_n, normalised              d_n the in-distribution probability
    L     = sum over c of the product of all q_n(c)             all describe class c
    L_m   = 1/C times that sum without m                        all but m do
    odds  = rho / |S| (L_m / L)^b                               of m being the odd one, against none

The probability that m is not the odd one multiplies its in-distribution probability. With two modalities the
odds are the same for both: which one is odd cannot be known. gamma, b and rho are fitted on calibration rows,
some with a modality of another row.

Letters: B samples, M modalities, C classes, S the modalities that a sample has.
"""

import math
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

NEVER = -1e4  # log of rho before it is fitted: no modality is ever the odd one
# More than this on either side of 0 changes no weight, and float32 would overflow beyond 88.
MAX_LOG = 30.0


class JudgedModalities(NamedTuple):
    """In-distribution probabilities after modalities were compared, and the conflict of each sample."""

    in_dist: Tensor  # (B, M), log-odds
    conflict: Tensor  # (B,), the probability that a modality belongs to another sample; 0 for one modality


class Conflict(nn.Module):
    """The parameters gamma, b and rho, as logarithms."""

    def __init__(self) -> None:
        super().__init__()
        self.log_gamma = nn.Parameter(torch.tensor(0.0))
        self.log_slope = nn.Parameter(torch.tensor(0.0))
        self.log_rho = nn.Parameter(torch.tensor(NEVER))
        self.register_load_state_dict_pre_hook(add_missing_parameters)  # type: ignore[no-untyped-call]

    def forward(self, log_posteriors: Tensor, in_dist: Tensor, presence: Tensor) -> JudgedModalities:
        """Judge modality posteriors (B, M, C) and log-odds of being in-distribution (B, M)."""
        log_p = self.compare_hypotheses(log_posteriors, in_dist, presence)
        # The odds that m is real are those that it is in-distribution and not the odd one: 1 - q, summed over
        # the other hypotheses, for 1 - q itself loses precision.
        odd = torch.eye(presence.shape[1], device=log_p.device, dtype=torch.bool)
        is_m = F.pad(odd, (1, 0))  # (M, M + 1), the first hypothesis is that there is none
        loss = -log_p[:, None, :].masked_fill(is_m, -torch.inf).logsumexp(-1).clamp(min=-MAX_LOG, max=0.0)
        # The log-odds of d exp(-loss), from those of d.
        against = torch.stack([torch.expm1(loss).log(), loss - in_dist], dim=-1).logsumexp(-1)
        return JudgedModalities(-against, log_p[:, 1:].exp().sum(-1))

    def compare_hypotheses(self, log_posteriors: Tensor, in_dist: Tensor, presence: Tensor) -> Tensor:
        """Return log-probabilities that no modality is the odd one, and that each is: (B, 1 + M)"""
        power = self.log_gamma.exp() * in_dist.sigmoid()
        tempered = F.log_softmax(power[:, :, None] * log_posteriors, dim=-1)
        # masked_fill, not a product with the mask: an absent slot may hold NaN.
        tempered = tempered.masked_fill(~presence[:, :, None], 0.0)
        total = tempered.sum(1, keepdim=True)  # (B, 1, C)
        ratio = (total - tempered).logsumexp(-1) - total.logsumexp(-1) - math.log(tempered.shape[-1])
        count = presence.sum(1, keepdim=True)
        odds = self.log_rho - count.clamp(min=1).log() + self.log_slope.exp() * ratio
        odds = odds.masked_fill(~presence | (count < 2), -torch.inf)
        return F.log_softmax(F.pad(odds, (1, 0)), dim=-1)


def add_missing_parameters(module: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    """Complete the state of a network that was trained before there was a conflict: it has none."""
    for name, value in module.state_dict().items():
        state.setdefault(prefix + name, value)
