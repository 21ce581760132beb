"""Fit the conflict to the calibration set: rows as they are, and rows with a modality of another row."""

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from tailfuse.calibration.calibration_set import CalibrationRows
from tailfuse.calibration.fusion_inputs import FusionInputs, compute_fusion_inputs, draw_subset
from tailfuse.network.conflict import Conflict
from tailfuse.network.network import Network

STEPS = 200
COPIES = 2  # of each row, whole, and as many with a random subset of its modalities
# The share of samples in use of which a modality belongs to another sample. In the fit it is half.
CONFLICT_RATE = 0.1
PRIOR_STRENGTH = 3.0  # rows that the starting values count as
DONOR_DRAWS = 20  # for a row of another class; a row that finds none is left out


class ConflictData(NamedTuple):
    """Rows to fit the conflict to: (n, ...) each."""

    log_posteriors: Tensor  # (n, M, C)
    in_dist: Tensor  # (n, M)
    presence: Tensor  # (n, M)
    odd: Tensor  # (n,), 0 for none, or 1 + m
    weight: Tensor  # (n,)


def fit_conflict(
    network: Network, calibration_set: Sequence[CalibrationRows], *, seed: int, device: torch.device
) -> None:
    """Fit gamma, b and rho by class-balanced cross-entropy over which modality is the odd one."""
    generator = torch.Generator().manual_seed(seed)
    inputs = [compute_fusion_inputs(network, each, device) for each in calibration_set if len(each.part)]
    pieces = [piece for each in inputs for piece in make_conflicts(each, generator)]
    pieces = [piece for piece in pieces if len(piece.odd)]
    if not any((piece.odd > 0).any() for piece in pieces):
        return  # no row has two modalities, or there is one class: nothing can be in conflict
    data = ConflictData(*(torch.cat(each) for each in zip(*pieces, strict=True)))
    network.conflict = fit_hypotheses(data).to(device)


def fit_hypotheses(data: ConflictData) -> Conflict:
    """Fit the three parameters, and shift rho from its rate in the fit to that in use."""
    conflict = Conflict().to(data.weight.device)
    with torch.no_grad():
        conflict.log_rho.zero_()
    parameters = list(conflict.parameters())
    optimizer = torch.optim.Adam(parameters, lr=0.05)
    for _ in range(STEPS):
        log_p = conflict.compare_hypotheses(data.log_posteriors, data.in_dist, data.presence)
        loss = (F.nll_loss(log_p, data.odd, reduction="none") * data.weight).sum() / data.weight.sum()
        penalty = torch.stack([parameter.square() for parameter in parameters]).sum()
        optimizer.zero_grad()
        (loss + PRIOR_STRENGTH / len(data.odd) * penalty).backward()
        optimizer.step()
    conflict.requires_grad_(False)
    conflict.log_rho.add_(math.log(CONFLICT_RATE / (1 - CONFLICT_RATE)))
    return conflict


def make_conflicts(inputs: FusionInputs, generator: torch.Generator) -> Iterable[ConflictData]:
    """Yield the rows, whole and in subsets: each time as they are, and with one modality of another row."""
    for copy in range(2 * COPIES):
        whole = copy < COPIES
        presence = inputs.presence if whole else draw_subset(inputs.presence, generator)
        rows = torch.nonzero(presence.sum(1) >= 2).squeeze(1)
        if not len(rows):
            continue
        presence = presence[rows]
        plain = ConflictData(
            inputs.log_posteriors[rows], inputs.own_in_dist[rows], presence,
            torch.zeros_like(rows), inputs.weight[rows],
        )  # fmt: skip
        yield plain
        m = torch.multinomial(presence.float().cpu(), 1, generator=generator).squeeze(1).to(rows.device)
        donors = draw_donors(inputs, rows, m, generator)
        found = torch.nonzero(donors >= 0).squeeze(1)
        plain = ConflictData(*(each[found] for each in plain))
        taken, m = donors[found], m[found]
        at = torch.arange(len(m), device=m.device)
        log_posteriors, in_dist = plain.log_posteriors.clone(), plain.in_dist.clone()
        log_posteriors[at, m] = inputs.log_posteriors[taken, m]
        in_dist[at, m] = inputs.own_in_dist[taken, m]
        yield plain._replace(log_posteriors=log_posteriors, in_dist=in_dist, odd=1 + m)


def draw_donors(inputs: FusionInputs, rows: Tensor, m: Tensor, generator: torch.Generator) -> Tensor:
    """Draw a row of another class that has modality m, for each of these rows: (n,), (n,) -> (n,) or -1

    Every class is as likely as in a balanced set.
    """
    donors = torch.full_like(rows, -1)
    weight = inputs.weight.cpu()
    for _ in range(DONOR_DRAWS):
        open_ = torch.nonzero(donors < 0).squeeze(1)
        if not len(open_):
            break
        drawn = torch.multinomial(weight, len(open_), replacement=True, generator=generator).to(rows.device)
        fits = (inputs.labels[drawn] != inputs.labels[rows[open_]]) & inputs.presence[drawn, m[open_]]
        donors[open_[fits]] = drawn[fits]
    return donors
