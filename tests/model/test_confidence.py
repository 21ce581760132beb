"""Confidence: the statistics it is made from, and what an unfitted one says."""

from math import log, sqrt

import pytest
import torch

from model.network.confidence import ConfidenceNetwork, squared_distances, statistics

# Experts with 4/5, 1/5 and 1/2, 1/2 say 2/3, 1/3 together.
LOGITS = torch.tensor([[[0.8, 0.2], [0.5, 0.5]]]).log()
EMBEDDING = torch.tensor([[3.0, 4.0]])
PROTOTYPES = torch.tensor([[0.0, 0.0], [3.0, 0.0], [9.0, 12.0], [3.0, 4.0]])


def test_the_statistics_by_hand() -> None:
    odds, ratio, entropy, disagreement, nearest, third = statistics(EMBEDDING, LOGITS, PROTOTYPES)[0].tolist()
    assert odds == pytest.approx(log(2))
    assert ratio == pytest.approx(log(2))
    assert entropy == pytest.approx(log(3) - 2 / 3 * log(2))
    from_joint = 0.8 * log(0.8 * 3 / 2) + 0.2 * log(0.2 * 3), 0.5 * log(3 / 4) + 0.5 * log(3 / 2)
    assert disagreement == pytest.approx(sum(from_joint) / 2)
    # Squared distances 0, 16, 25, 100 by a width of 2.
    assert nearest == pytest.approx(sqrt(0.01), abs=1e-5)
    assert third == pytest.approx(sqrt(12.5 + 0.01))


def test_odds_are_of_the_top_class_against_all_others() -> None:
    logits = torch.tensor([[[0.5, 0.3, 0.2]]]).log()
    odds, ratio = statistics(EMBEDDING, logits, PROTOTYPES)[0, :2].tolist()
    assert odds == pytest.approx(0.0, abs=1e-6)
    assert ratio == pytest.approx(log(5 / 3))


def test_a_constant_added_to_all_logits_moves_no_statistic() -> None:
    logits = torch.randn(9, 3, 5)
    embedding = torch.randn(9, 2)
    moved = statistics(embedding, logits + 7.0, PROTOTYPES)
    torch.testing.assert_close(moved, statistics(embedding, logits, PROTOTYPES), rtol=1e-4, atol=1e-5)


def test_statistics_stay_finite_however_sure_the_experts_are() -> None:
    logits = torch.tensor([[[500.0, -500.0, 0.0]] * 3])
    assert statistics(EMBEDDING, logits, PROTOTYPES).isfinite().all()


def test_squared_distances_are_those_of_cdist() -> None:
    a, b = torch.randn(6, 16), torch.randn(4, 16)
    torch.testing.assert_close(squared_distances(a, b), torch.cdist(a, b).square(), rtol=1e-4, atol=1e-4)


def test_an_unfitted_network_trusts_every_row_alike() -> None:
    network = ConfidenceNetwork(n_prototypes=4, width=2)
    assert network.score(torch.randn(5, 2), torch.randn(5, 3, 4)).tolist() == [0.0] * 5


def test_no_rows_have_no_scores() -> None:
    network = ConfidenceNetwork(n_prototypes=4, width=2)
    assert network.score(torch.zeros(0, 2), torch.zeros(0, 3, 4)).shape == (0,)


def test_a_rows_statistics_do_not_depend_on_how_many_rows_are_judged_with_it() -> None:
    torch.manual_seed(0)
    prototypes = torch.nn.functional.layer_norm(torch.randn(256, 128).relu(), (128,))
    embedding = prototypes + 1e-3 * torch.randn(256, 128)
    logits = torch.randn(256, 3, 5)
    together = statistics(embedding, logits, prototypes)
    for at in range(0, 256, 7):
        alone = statistics(embedding[at : at + 1], logits[at : at + 1], prototypes)[0]
        torch.testing.assert_close(alone, together[at], atol=2e-6, rtol=0)
