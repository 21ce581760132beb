"""The experts of SADE-MM are weighed by how well two views of unlabelled rows agree."""

import pytest
import torch
from tailfuse_bench.expert_weights import MIN_WEIGHT, choose_weights
from torch import Tensor


def make_views(n_batches: int, noise: float, n_noisy: int) -> list[tuple[Tensor, Tensor]]:
    """One expert that answers both views alike, and `n_noisy` that do not."""
    torch.manual_seed(0)
    views = []
    for _ in range(n_batches):
        steady = 4 * torch.randn(64, 1, 5)
        one, other = (torch.cat([steady, noise * torch.randn(64, n_noisy, 5)], 1) for _ in range(2))
        views.append((one, other))
    return views


def test_the_expert_whose_views_agree_gets_the_weight() -> None:
    weights = choose_weights(make_views(20, 4.0, 2), 3)
    assert weights.sum().item() == pytest.approx(1.0)
    assert weights.argmax() == 0
    assert weights[0] > 0.6


def test_it_ends_once_a_weight_is_small() -> None:
    """Epochs of 1,000 batches: after the first the weight is small, and no second follows."""
    views = make_views(1000, 8.0, 1)
    weights = choose_weights(views, 2)
    assert weights.min() < MIN_WEIGHT
    ended: Tensor = choose_weights(views * 2, 2)  # one epoch as long as two
    assert ended.min() < weights.min()


def test_views_that_agree_leave_the_weights_alike() -> None:
    logits = torch.randn(8, 3, 4)
    assert choose_weights([(logits, logits)], 3).tolist() == pytest.approx([1 / 3] * 3, abs=1e-3)
