"""Experts: the loss of each, and what they say together. And the head that holds them."""

from math import log
from typing import get_args

import pytest
import torch
from tailfuse.losses.experts import aggregate, compute_adjustments
from tailfuse.losses.imbalance import BASELINES, ImbalanceLoss, make_expert_loss, make_loss
from tailfuse.network.head import Head
from tailfuse.spec.schema import Loss

COUNTS = torch.tensor([30, 10])
PRIOR = COUNTS / 40
FIRST, SECOND = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])


def make_logits(*experts: tuple[float, ...]) -> torch.Tensor:
    """One row whose experts have these probabilities: (1, E, C)"""
    return torch.tensor([experts]).log()


def test_an_adjustment_is_tau_times_the_logarithm_of_the_prior() -> None:
    added = compute_adjustments(PRIOR, (0.0, 1.0, 2.0))
    by_hand = torch.tensor([[0.0, 0.0], [log(0.75), log(0.25)], [2 * log(0.75), 2 * log(0.25)]])
    torch.testing.assert_close(added, by_hand)


def test_the_loss_of_an_undecided_row_is_that_of_the_adjusted_prior() -> None:
    # Adjusted with tau 0, 1, 2 the prior 3/4, 1/4 becomes 1/2, 1/2 and 3/4, 1/4 and 9/10, 1/10.
    undecided, loss_fn = torch.zeros(1, 3, 2), make_expert_loss(COUNTS, (0.0, 1.0, 2.0))
    assert float(loss_fn(undecided, FIRST, 0.0)) == pytest.approx((log(2) + log(4 / 3) + log(10 / 9)) / 3)
    assert float(loss_fn(undecided, SECOND, 0.0)) == pytest.approx((log(2) + log(4) + log(10)) / 3)


def test_balanced_softmax_by_hand() -> None:
    # Probabilities 2/3 and 1/3, weighted by the prior 3/4 and 1/4, are 6/7 and 1/7.
    loss = make_expert_loss(COUNTS, (1.0,))(make_logits((2 / 3, 1 / 3)), SECOND, 0.0)
    assert float(loss) == pytest.approx(log(7))


def test_the_loss_of_a_mixed_target_is_the_mix_of_the_losses() -> None:
    logits, loss_fn = torch.randn(1, 3, 2), make_expert_loss(COUNTS, (0.0, 1.0, 2.0))
    mixed = loss_fn(logits, 0.7 * FIRST + 0.3 * SECOND, 0.0)
    parts = 0.7 * loss_fn(logits, FIRST, 0.0) + 0.3 * loss_fn(logits, SECOND, 0.0)
    assert float(mixed) == pytest.approx(float(parts), rel=1e-5)


def test_the_loss_is_smallest_where_logits_are_free_of_the_prior() -> None:
    # Rows that all look alike: three of the first class, one of the second, as the prior says.
    target = torch.cat([FIRST, FIRST, FIRST, SECOND])
    logits = torch.zeros(1, 1, 2, requires_grad=True)
    make_expert_loss(COUNTS, (1.0,))(logits.expand(4, 1, 2), target, 0.0).mean().backward()
    assert logits.grad is not None
    assert logits.grad.flatten().tolist() == pytest.approx([0.0, 0.0], abs=1e-7)


def test_experts_together_are_their_geometric_mean() -> None:
    # sqrt(0.8 * 0.5) to sqrt(0.2 * 0.5) is 2 to 1.
    joint = aggregate(make_logits((0.8, 0.2), (0.5, 0.5)))
    assert joint.exp().flatten().tolist() == pytest.approx([2 / 3, 1 / 3])


def make_head(loss_fn: ImbalanceLoss) -> Head:
    torch.manual_seed(0)
    return Head(5, loss_fn, n_classes=2)


def test_a_head_has_every_expert_and_class_and_takes_no_rows_too() -> None:
    head = make_head(make_expert_loss(COUNTS, (0.0, 1.0, 2.0)))
    assert head(torch.randn(7, 5)).shape == (7, 3, 2)
    assert head(torch.randn(0, 5)).shape == (0, 3, 2)


@pytest.mark.parametrize("name", get_args(Loss))
def test_what_a_head_says_after_training_is_the_answer_of_its_method(name: str) -> None:
    loss_fn = make_loss(name, COUNTS, (0.0, 1.0, 2.0))
    head, rows = make_head(loss_fn), torch.randn(7, 5)
    raw = head(rows)
    torch.testing.assert_close(aggregate(head.eval()(rows)), loss_fn.predict(raw))
    assert raw.shape == (7, loss_fn.n_experts, 2)


def test_the_experts_of_ours_are_kept_apart() -> None:
    head, rows = make_head(make_expert_loss(COUNTS, (0.0, 1.0, 2.0))), torch.randn(7, 5)
    assert torch.equal(head(rows), head.eval()(rows))


def test_cosines_do_not_mind_how_long_a_row_is() -> None:
    head, rows = make_head(make_loss("ldam_drw", COUNTS, ())), torch.randn(7, 5)
    torch.testing.assert_close(head(rows), head(3 * rows))
    assert head(rows).abs().max() <= 1 + 1e-6
    # A row that points where a class does has a cosine of 1 with it.
    assert head(head.linear.weight)[0, 0, 0].item() == pytest.approx(1.0)


def test_the_spec_knows_every_loss() -> None:
    assert get_args(Loss) == ("experts", *BASELINES)
