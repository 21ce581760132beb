"""Fit modality posteriors and confidences to the calibration set, one modality at a time."""

import math
from collections.abc import Callable, Mapping, Sequence

import torch
import torch.nn.functional as F
from tailfuse_service.modalities import Modality
from torch import Tensor, nn

from tailfuse.calibration.calibration_set import (
    CalibrationData,
    CalibrationRows,
    collect_calibration_data,
    select_class,
)
from tailfuse.network.confidence import SLOPE_PER_DEVIATION, Confidences
from tailfuse.network.fusion import ModalityPosteriors
from tailfuse.network.network import Network, Scores

POSTERIOR_STEPS, CONFIDENCE_STEPS = 120, 300
# Prior corruption rate in use; in the calibration set it is 0.5.
CORRUPTION_RATE = 0.15
PRIOR_STRENGTH = 3.0  # rows that the starting values count as
MIN_GAIN, MIN_TOTAL_GAIN = 0.002, 2.0  # of the likelihood of a row, and of all rows: less is chance
MIN_FOREST_GAIN = 0.02  # of the loss: a forest costs time at each answer


def fit_confidence(
    network: Network, calibration_set: Sequence[CalibrationRows], modalities: Mapping[str, Modality],
    features: Mapping[str, Tensor], *, use_plda: bool, corrupted: bool, seed: int, device: torch.device,
) -> None:  # fmt: skip
    """Fit every modality's posterior, and then its confidence. Frozen encoders have `features`, (n, F).

    Without `use_plda` the PLDA head's pool weight is 0. Without `corrupted` no corrupted
    rows are used, and every row is taken to be in-distribution.
    """
    for m, name in enumerate(network.modalities):
        data = collect_calibration_data(
            calibration_set, name, modalities[name], features, seed=seed, device=device
        )
        if data is None:
            continue  # no calibration rows: the modality keeps the initial confidence
        posterior = fit_posterior(data, use_plda=use_plda)
        set_modality(network.posteriors, m, posterior)
        set_modality(network.confidences, m, fit_reliability(posterior, data, corrupted=corrupted, seed=seed))


@torch.no_grad()
def set_modality(stacked: nn.Module, m: int, fitted: nn.Module) -> None:
    """Copy the parameters of one modality, (1, ...) each, to those of all modalities, (M, ...) each."""
    for all_modalities, one in zip(stacked.state_dict().values(), fitted.state_dict().values(), strict=True):
        all_modalities[m] = one[0]


def fit_posterior(data: CalibrationData, *, use_plda: bool) -> ModalityPosteriors:
    """Fit the pool weights by likelihood on the calibration set, then the temperature, of one modality."""
    clean, weight = data.clean, data.weight
    pool_weights = fit_pool(data, use_plda=use_plda)
    posterior = ModalityPosteriors(1, len(pool_weights)).to(weight.device)
    with torch.no_grad():
        posterior.pool_weights[0] = pool_weights
        top = compute_posterior_logits(posterior, clean).topk(2, dim=-1).values
        # At least 0.01: a modality that hardly prefers any class must not be scaled without limit.
        posterior.temperature[0] = ((top[:, 0] - top[:, 1]) * weight).mean().clamp(min=0.01)
    return posterior


def fit_pool(data: CalibrationData, *, use_plda: bool) -> Tensor:
    """Fit the weight of each expert that has scored the rows: (K,)

    The weight of the linear expert is 0 unless the rows gain more than chance explains; so is the forest's,
    unless it also saves MIN_FOREST_GAIN of their loss.
    """
    scores, labels, weight = data.clean, data.labels, data.weight

    def loss(log_p: Tensor) -> Tensor:
        return -(select_class(F.log_softmax(log_p, dim=-1), labels) * weight).mean()

    experts, used = [scores.log_p, scores.densities], [True, use_plda]
    pool_weights = fit_pool_weights(experts, used, loss)
    for other, least_share in ((scores.linear, 0.0), (scores.forest, MIN_FOREST_GAIN)):
        if other is None:
            continue
        before = float(loss(pool(experts, pool_weights)))
        experts, used = [*experts, other], [*used, True]
        with_other = fit_pool_weights(experts, used, loss)
        gain = before - float(loss(pool(experts, with_other)))
        used[-1] = gain > max(MIN_GAIN + MIN_TOTAL_GAIN / len(labels), least_share * before)
        pool_weights = with_other if used[-1] else F.pad(pool_weights, (0, 1))
    return pool_weights


def fit_pool_weights(
    experts: Sequence[Tensor], used: Sequence[bool], loss: Callable[[Tensor], Tensor]
) -> Tensor:
    """Fit the weight of each expert, (n, C), by likelihood: (K,). That of an expert that is not used is 0."""
    n, mask = len(experts[0]), torch.tensor(used, device=experts[0].device).float()
    # The start: experts that agree weigh the same.
    best = torch.stack([find_best_weight(each, loss) for each in experts])
    start = (best / mask.sum()).log()
    log_weights = start.clone().requires_grad_()
    optimizer = torch.optim.Adam([log_weights], lr=0.05)
    for _ in range(POSTERIOR_STEPS):
        penalty = PRIOR_STRENGTH / n * (log_weights - start).square().sum()
        optimizer.zero_grad()
        (loss(pool(experts, log_weights.exp() * mask)) + penalty).backward()
        optimizer.step()
    return (log_weights.exp() * mask).detach()


def pool(experts: Sequence[Tensor], weights: Tensor) -> Tensor:
    """Pool the log-probabilities of K experts: (n, C) each, (K,) -> (n, C)"""
    total = weights[0] * experts[0]
    for weight, expert in zip(weights[1:], experts[1:], strict=True):
        total = total + weight * expert
    return total


def compute_posterior_logits(posterior: ModalityPosteriors, scores: Scores) -> Tensor:
    """Compute the log-posteriors of one modality's rows, divided by the temperature: (n, C)"""
    experts = (scores.log_p, scores.densities, scores.linear, scores.forest)
    alone = [None if each is None else each[:, None] for each in experts]
    return posterior.soften(posterior(*alone)).squeeze(1)


@torch.no_grad()
def find_best_weight(log_p: Tensor, loss: Callable[[Tensor], Tensor]) -> Tensor:
    """Find the best of a grid of weights (inverse temperatures)."""
    grid = torch.logspace(-2.5, 0.7, 33, device=log_p.device)
    losses = torch.stack([loss(power * log_p) for power in grid])
    return grid[losses.argmin()]


def fit_reliability(
    posterior: ModalityPosteriors, data: CalibrationData, *, corrupted: bool, seed: int
) -> Confidences:
    """Fit one modality's confidence: whether a row is clean, and the probability of its true class.

    Classes are balanced.
    """
    clean, other, weight = data.clean, data.corrupted, data.weight
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        confidence = Confidences(1, clean.statistics.shape[1]).to(weight.device)
    with torch.no_grad():
        calibrated = (posterior.temperature * compute_posterior_logits(posterior, clean)).softmax(-1)
        correct = select_class(calibrated, data.labels)
        confidence.mean[0] = clean.statistics.mean(0)
        confidence.scale[0] = clean.statistics.std(0, correction=0).clamp(min=1e-2)
        confidence.per_deviation[0] = SLOPE_PER_DEVIATION if corrupted else 0.0
    statistics = torch.cat([clean.statistics, other.statistics])
    in_dist = torch.cat([torch.ones_like(weight), torch.zeros(len(other.statistics), device=weight.device)])
    # Clean and corrupted rows have the same total weight; the prior corruption rate comes in at the end.
    weights = torch.cat([weight * len(other.statistics) / len(weight), 1 - in_dist[len(weight) :]])
    optimizer = torch.optim.AdamW(confidence.parameters(), lr=0.02, weight_decay=0.01)
    for _ in range(CONFIDENCE_STEPS):
        in_dist_logits, correct_logits = (each.squeeze(1) for each in confidence(statistics[:, None]))
        loss = F.binary_cross_entropy_with_logits(correct_logits[: len(weight)], correct, weight)
        if corrupted:
            loss = loss + F.binary_cross_entropy_with_logits(in_dist_logits, in_dist, weights)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    confidence.requires_grad_(False)
    if corrupted:
        confidence.bias[0, 0] += math.log((1 - CORRUPTION_RATE) / CORRUPTION_RATE)
    return confidence
