"""Experts: the loss of each, and what they say together."""

from math import log

import pytest
import torch

from model.network.experts import ExpertHead, adjustments, aggregate, expert_loss

PRIOR = torch.tensor([0.75, 0.25])
FIRST, SECOND = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])


def logits_of(*experts: tuple[float, ...]) -> torch.Tensor:
    """One row whose experts have these probabilities: (1, E, C)"""
    return torch.tensor([experts]).log()


def test_an_adjustment_is_tau_times_the_logarithm_of_the_prior() -> None:
    added = adjustments(PRIOR, (0.0, 1.0, 2.0))
    by_hand = torch.tensor([[0.0, 0.0], [log(0.75), log(0.25)], [2 * log(0.75), 2 * log(0.25)]])
    torch.testing.assert_close(added, by_hand)


def test_the_loss_of_an_undecided_row_is_that_of_the_adjusted_prior() -> None:
    # Adjusted with tau 0, 1, 2 the prior 3/4, 1/4 becomes 1/2, 1/2 and 3/4, 1/4 and 9/10, 1/10.
    undecided, adjustment = torch.zeros(1, 3, 2), adjustments(PRIOR, (0.0, 1.0, 2.0))
    assert float(expert_loss(undecided, adjustment, FIRST)) == pytest.approx(
        (log(2) + log(4 / 3) + log(10 / 9)) / 3
    )
    assert float(expert_loss(undecided, adjustment, SECOND)) == pytest.approx((log(2) + log(4) + log(10)) / 3)


def test_balanced_softmax_by_hand() -> None:
    # Probabilities 2/3 and 1/3, weighted by the prior 3/4 and 1/4, are 6/7 and 1/7.
    loss = expert_loss(logits_of((2 / 3, 1 / 3)), adjustments(PRIOR, (1.0,)), SECOND)
    assert float(loss) == pytest.approx(log(7))


def test_the_loss_of_a_mixed_target_is_the_mix_of_the_losses() -> None:
    logits, adjustment = torch.randn(1, 3, 2), adjustments(PRIOR, (0.0, 1.0, 2.0))
    mixed = expert_loss(logits, adjustment, 0.7 * FIRST + 0.3 * SECOND)
    parts = 0.7 * expert_loss(logits, adjustment, FIRST) + 0.3 * expert_loss(logits, adjustment, SECOND)
    assert float(mixed) == pytest.approx(float(parts), rel=1e-5)


def test_the_loss_is_smallest_where_logits_are_free_of_the_prior() -> None:
    # Rows that all look alike: three of the first class, one of the second, as the prior says.
    target = torch.cat([FIRST, FIRST, FIRST, SECOND])
    logits = torch.zeros(1, 1, 2, requires_grad=True)
    expert_loss(logits.expand(4, 1, 2), adjustments(PRIOR, (1.0,)), target).mean().backward()
    assert logits.grad is not None
    assert logits.grad.flatten().tolist() == pytest.approx([0.0, 0.0], abs=1e-7)


def test_experts_together_are_their_geometric_mean() -> None:
    # sqrt(0.8 * 0.5) to sqrt(0.2 * 0.5) is 2 to 1.
    joint = aggregate(logits_of((0.8, 0.2), (0.5, 0.5)))
    assert joint.exp().flatten().tolist() == pytest.approx([2 / 3, 1 / 3])


def test_a_head_has_every_expert_and_class_and_takes_no_rows_too() -> None:
    head = ExpertHead(width=5, n_experts=3, n_classes=4)
    assert head(torch.randn(7, 5)).shape == (7, 3, 4)
    assert head(torch.randn(0, 5)).shape == (0, 3, 4)
