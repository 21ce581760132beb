"""Confidence: the statistics it is made from, and what an unfitted one says."""

from math import asinh, log

import pytest
import torch
from tailfuse.network.confidence import (
    INITIAL_LOG_ODDS,
    N_STATISTICS,
    OUTLIER_FROM,
    SLOPE_PER_DEVIATION,
    Confidences,
    compute_statistics,
)
from torch import Tensor

# Experts with 4/5, 1/5 and 1/2, 1/2 say 2/3, 1/3 together.
LOGITS = torch.tensor([[[0.8, 0.2], [0.5, 0.5]]]).log()
DENSITIES = torch.tensor([[0.9, 0.1]]).log()
OOD_SCORES = torch.tensor([[1.0, 2.0, 3.0, 4.0]])


def test_the_statistics_by_hand() -> None:
    seen = compute_statistics(LOGITS, DENSITIES, OOD_SCORES)[0].tolist()
    odds, ratio, entropy, disagreement, lead, against, *ood_scores = seen
    assert odds == pytest.approx(log(2))
    assert ratio == pytest.approx(log(2))
    assert entropy == pytest.approx(log(3) - 2 / 3 * log(2))
    from_joint = 0.8 * log(0.8 * 3 / 2) + 0.2 * log(0.2 * 3), 0.5 * log(3 / 4) + 0.5 * log(3 / 2)
    assert disagreement == pytest.approx(sum(from_joint) / 2)
    assert lead == pytest.approx(asinh(log(9)))
    assert against == pytest.approx(asinh(2 / 3 * log(2 / 3 / 0.9) + 1 / 3 * log(1 / 3 / 0.1)))
    assert ood_scores == [1.0, 2.0, 3.0, 4.0]


def test_odds_are_of_the_top_class_against_all_others() -> None:
    logits = torch.tensor([[[0.5, 0.3, 0.2]]]).log()
    odds, ratio = compute_statistics(logits, logits[:, 0], OOD_SCORES)[0, :2].tolist()
    assert odds == pytest.approx(0.0, abs=1e-6)
    assert ratio == pytest.approx(log(5 / 3))


@pytest.mark.parametrize("n_classes", [2, 3, 100])
def test_a_constant_added_to_all_logits_or_densities_moves_no_statistic(n_classes: int) -> None:
    torch.manual_seed(0)
    logits, densities = torch.randn(9, 3, n_classes), torch.randn(9, n_classes)
    ood_scores = torch.randn(9, 4)
    moved = compute_statistics(logits + 7.0, densities - 50.0, ood_scores)
    torch.testing.assert_close(moved, compute_statistics(logits, densities, ood_scores), rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("certainty", [2.0, 8.0, 13.0])
def test_odds_are_exact_however_near_to_1_a_probability_is(certainty: float) -> None:
    # Runtimes differ by a rounding: 1 - p of p = 0.999998 would differ by a tenth.
    logits = torch.tensor([[[certainty, 0.0, 0.0]]])
    odds = compute_statistics(logits, logits[:, 0], OOD_SCORES)[0, 0]
    assert float(odds) == pytest.approx(certainty - log(2), rel=1e-6)


def test_odds_have_a_limit() -> None:
    logits = torch.tensor([[[40.0, 0.0, 0.0]]])
    assert float(compute_statistics(logits, logits[:, 0], OOD_SCORES)[0, 0]) == pytest.approx(log(1e6))


@pytest.mark.parametrize("scale", [0.0, 500.0, 1e6, 1e12])
def test_statistics_stay_finite_however_sure_the_experts_are(scale: float) -> None:
    logits = scale * torch.tensor([[[1.0, -1.0, 0.0]] * 3])
    assert compute_statistics(logits, -scale * logits[:, 0], OOD_SCORES).isfinite().all()


def test_an_unfitted_network_trusts_every_row_alike() -> None:
    in_dist, correct = Confidences(2)(100 * torch.randn(5, 2, N_STATISTICS))
    assert in_dist.tolist() == [[INITIAL_LOG_ODDS] * 2] * 5
    assert correct.tolist() == [[0.0] * 2] * 5


def test_no_rows_have_no_doubts() -> None:
    seen = compute_statistics(torch.zeros(0, 3, 4), torch.zeros(0, 4), torch.zeros(0, 4))
    assert seen.shape == (0, N_STATISTICS)
    assert [each.shape for each in Confidences(2)(seen[:, None].expand(0, 2, -1))] == [(0, 2), (0, 2)]


def doubtful() -> Confidences:
    """A network fitted to rows whose statistics are 1 on average, with a deviation of 2."""
    network = Confidences(1)
    network.mean.fill_(1.0)
    network.scale.fill_(2.0)
    network.per_deviation.fill_(SLOPE_PER_DEVIATION)
    return network


def strange(*deviations: float, at: int) -> Tensor:
    """Rows that are so many deviations from the mean in one statistic: (n, 1, 10)"""
    seen = torch.ones(len(deviations), 1, N_STATISTICS)
    seen[:, 0, at] += 2.0 * torch.tensor(deviations)
    return seen


@pytest.mark.parametrize("at", range(6, N_STATISTICS))
def test_a_row_is_the_less_real_the_stranger_it_is_without_limit(at: int) -> None:
    in_dist, correct = doubtful()(
        strange(-1000.0, 0.0, OUTLIER_FROM, OUTLIER_FROM + 1, OUTLIER_FROM + 1000, at=at)
    )
    beyond = [0, 0, 0, 1, 1000]
    assert in_dist[:, 0].tolist() == pytest.approx(
        [INITIAL_LOG_ODDS - SLOPE_PER_DEVIATION * each for each in beyond], rel=1e-4
    )
    assert correct[:, 0].tolist() == [0.0] * 5


@pytest.mark.parametrize("at", range(6))
def test_a_sure_or_an_unsure_row_is_not_strange_for_it(at: int) -> None:
    in_dist, _ = doubtful()(strange(-1000.0, 0.0, 1000.0, at=at))
    assert in_dist[:, 0].tolist() == [INITIAL_LOG_ODDS] * 3


def test_a_rows_statistics_do_not_depend_on_how_many_rows_are_judged_with_it() -> None:
    torch.manual_seed(0)
    logits, densities, ood_scores = torch.randn(256, 3, 5), 1e3 * torch.randn(256, 5), torch.randn(256, 4)
    together = compute_statistics(logits, densities, ood_scores)
    for at in range(0, 256, 7):
        one = slice(at, at + 1)
        alone = compute_statistics(logits[one], densities[one], ood_scores[one])[0]
        torch.testing.assert_close(alone, together[at], atol=2e-6, rtol=0)


def test_each_modality_has_its_own_network() -> None:
    torch.manual_seed(0)
    stacked, statistics = Confidences(3), 3 * torch.randn(5, 3, N_STATISTICS)
    for values in stacked.state_dict().values():
        values.copy_(torch.rand(values.shape) + 0.5)
    told = stacked(statistics)
    for m in range(3):
        one = Confidences(1)
        one.load_state_dict({name: values[m : m + 1] for name, values in stacked.state_dict().items()})
        for all_modalities, alone in zip(told, one(statistics[:, m : m + 1]), strict=True):
            torch.testing.assert_close(all_modalities[:, m], alone[:, 0])
