"""Losses for imbalanced classes: published formulas with numbers put in by hand, and what they share."""

from math import exp, log

import pytest
import torch
import torch.nn.functional as F
from tailfuse.errors import SpecError
from tailfuse.losses.experts import compute_adjustments
from tailfuse.losses.imbalance import BASELINES, ImbalanceLoss, make_loss
from torch import Tensor

NAMES = ["experts", *BASELINES]
TAUS = (0.0, 1.0, 2.0)
COUNTS = (8, 4, 2)  # one class each of many, medium and few
EARLY, LATE = 0.5, 0.9


def method(name: str, *counts: int) -> ImbalanceLoss:
    return make_loss(name, torch.tensor(counts), TAUS)


def costs(loss_fn: ImbalanceLoss, logits: Tensor, progress: float = EARLY) -> list[float]:
    """What one row, (E, C), costs in each class."""
    eye = torch.eye(logits.shape[-1])
    loss = loss_fn(logits.expand(len(eye), *logits.shape), eye, progress)
    return loss.tolist()


def one(*probabilities: float) -> Tensor:
    """One classifier that says this: (1, C)"""
    return torch.tensor([probabilities]).log()


def cosines(loss_fn: ImbalanceLoss, logits: Tensor) -> Tensor:
    return logits.tanh() if loss_fn.cosine else logits


def test_cross_entropy_by_hand() -> None:
    assert costs(method("cross_entropy", *COUNTS), one(0.5, 0.25, 0.25)) == pytest.approx(
        [log(2), log(4), log(4)]
    )


def test_the_class_balanced_loss_by_hand() -> None:
    # 1 and 2 rows are 1 and 1 + 0.9999 effective ones. 1 and 1 / 1.9999, scaled to sum to 2:
    weights = [2 * 1.9999 / 2.9999, 2 / 2.9999]
    by_hand = [weights[0] * log(4 / 3), weights[1] * log(4)]
    assert costs(method("class_balanced", 1, 2), one(0.75, 0.25)) == pytest.approx(by_hand)


def test_the_focal_loss_by_hand() -> None:
    # Right with 3/4: a sixteenth of the cross-entropy is left; with 1/4: nine sixteenths.
    by_hand = [1 / 16 * log(4 / 3), 9 / 16 * log(4)]
    assert costs(method("focal", 5, 2), one(0.75, 0.25)) == pytest.approx(by_hand)


def test_ldam_by_hand() -> None:
    # 1 and 16 rows to the power of -1/4 are 1 and 1/2: margins of 1/2 and 1/4. Cosines of 0.5 and 0.2 are
    # 15 and 6 after scaling; with its margin the first is 0, the second -1.5.
    by_hand = [log(1 + exp(6)), log(1 + exp(16.5))]
    assert costs(method("ldam_drw", 1, 16), torch.tensor([[0.5, 0.2]])) == pytest.approx(by_hand)


def test_ldam_weighs_classes_in_the_last_fifth_of_training() -> None:
    loss_fn, logits = method("ldam_drw", 1, 16), torch.tensor([[0.5, 0.2]])
    # Weights as E to 1, where 16 rows are E effective ones, of mean 1 over the 17 rows.
    effective = (1 - 0.9999**16) / (1 - 0.9999)
    weights = [17 * effective / (effective + 16), 17 / (effective + 16)]
    early, late = costs(loss_fn, logits, 0.79), costs(loss_fn, logits, 0.8)
    assert late == pytest.approx([w * cost for w, cost in zip(weights, early, strict=True)])


def test_ldams_gradient_is_that_of_the_written_out_formula_where_a_row_is_all_but_learnt() -> None:
    margins = torch.tensor([0.25, 0.5])  # of 16 and 1 rows
    mine, written = (torch.tensor([[-0.3, 0.25]], requires_grad=True) for _ in range(2))
    method("ldam_drw", 16, 1)(mine, torch.tensor([0.0, 1.0]), EARLY).backward()
    margined = 30 * (written[0].double() - margins * torch.tensor([0, 1]))
    F.cross_entropy(margined, torch.tensor(1)).backward()
    assert mine.grad is not None
    torch.testing.assert_close(mine.grad, written.grad)


def test_ldam_asks_for_cosines_and_answers_with_their_scale() -> None:
    loss_fn = method("ldam_drw", 1, 16)
    assert loss_fn.cosine
    probability = float(loss_fn.predict(torch.tensor([[0.1, 0.0]])).exp()[0])
    assert probability == pytest.approx(exp(3) / (exp(3) + 1))


def test_balanced_softmax_by_hand() -> None:
    # Probabilities 2/3 and 1/3, weighted by 3 rows and 1 row, are 6/7 and 1/7.
    loss_fn = method("balanced_softmax", 3, 1)
    assert costs(loss_fn, one(2 / 3, 1 / 3)) == pytest.approx([log(7 / 6), log(7)])
    assert loss_fn.predict(one(2 / 3, 1 / 3)).exp().tolist() == pytest.approx([2 / 3, 1 / 3])


def test_logit_adjustment_by_hand() -> None:
    # 6/7 and 1/7, divided by the prior of 3/4 and 1/4, are 8/7 and 4/7: two to one.
    loss_fn = method("logit_adjustment", 3, 1)
    assert costs(loss_fn, one(6 / 7, 1 / 7)) == pytest.approx([log(7 / 6), log(7)])
    assert loss_fn.predict(one(6 / 7, 1 / 7)).exp().tolist() == pytest.approx([2 / 3, 1 / 3])


def test_the_auxiliary_balanced_classifier_sees_all_rows_of_the_rarest_class_and_few_of_the_largest() -> None:
    # The first classifier is undecided, the second says 3/4 and 1/4.
    loss_fn, logits = method("abc", 4, 1), torch.tensor([[0.5, 0.5], [0.75, 0.25]]).log()
    torch.manual_seed(0)
    target = F.one_hot(torch.arange(4000) % 2, 2).float()
    loss = loss_fn(logits.expand(4000, 2, 2), target, EARLY)
    assert loss[1::2].tolist() == pytest.approx([log(2) + log(4)] * 2000)
    masked, seen = log(2), log(2) + log(4 / 3)
    is_seen = (loss[::2] - seen).abs() < 1e-5
    assert bool((is_seen | ((loss[::2] - masked).abs() < 1e-5)).all())
    assert float(is_seen.float().mean()) == pytest.approx(1 / 4, abs=0.03)
    assert loss_fn.predict(logits).exp().tolist() == pytest.approx([0.75, 0.25])


def test_reslt_by_hand() -> None:
    # All branches undecided between three classes. A batch's 14 rows are seen 14 + 6 + 2 times.
    undecided, share = torch.zeros(3, 3), 14 / 22
    by_hand = [0.99 * share * n_branches * log(3) + 0.01 * log(3) for n_branches in (1, 2, 3)]
    assert costs(method("reslt", *COUNTS), undecided) == pytest.approx(by_hand)


def test_reslt_is_the_authors_loss_of_a_batch_that_is_like_the_training_rows() -> None:
    logits = torch.randn(14, 3, 3, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(3).repeat_interleave(torch.tensor(COUNTS))
    summed, n_seen = torch.zeros(()), 0
    for branch, first in enumerate((0, 1, 2)):  # the first class that a branch learns from
        rows = labels >= first
        summed += F.cross_entropy(logits[rows, branch], labels[rows], reduction="sum")
        n_seen += int(rows.sum())
    theirs = 0.99 * summed / n_seen + 0.01 * F.cross_entropy(logits.sum(1), labels)
    ours = method("reslt", *COUNTS)(logits, F.one_hot(labels, 3).float(), EARLY).mean()
    torch.testing.assert_close(ours, theirs)


def test_ace_by_hand() -> None:
    # Undecided experts whose logits are all 2: each pays log 3, and the square of 2 for every class it does
    # not know, of which the second has one and the third two.
    twos = torch.full((3, 3), 2.0)
    assert costs(method("ace", *COUNTS), twos) == pytest.approx(
        [log(3), 2 * log(3) + 4, 3 * log(3) + 4 + 2 * 4]
    )


def test_ace_answers_with_the_experts_that_know_a_class() -> None:
    logits = torch.tensor([[1.0, 2.0, 3.0], [9.0, 4.0, 5.0], [9.0, 9.0, 1.0]])
    means = torch.tensor([1.0, (2 + 4) / 2, (3 + 5 + 1) / 3])
    torch.testing.assert_close(method("ace", *COUNTS).predict(logits), means.log_softmax(0))


def test_each_expert_learns_with_its_own_adjustment() -> None:
    logits, target = torch.randn(5, 3, 3), torch.eye(3)[[0, 1, 2, 2, 0]]
    counts = torch.tensor(COUNTS, dtype=torch.float32)
    adjusted = logits + compute_adjustments(counts / counts.sum(), TAUS)
    each = [F.cross_entropy(adjusted[:, e], target, reduction="none") for e in range(3)]
    actual = method("experts", *COUNTS)(logits, target, EARLY)
    torch.testing.assert_close(actual, torch.stack(each).mean(0))


@pytest.mark.parametrize("progress", [EARLY, LATE])
@pytest.mark.parametrize("name", NAMES)
def test_the_loss_of_a_mixed_target_is_the_mix_of_the_losses(name: str, progress: float) -> None:
    loss_fn = method(name, *COUNTS)
    logits = cosines(loss_fn, torch.randn(6, loss_fn.n_experts, 3))

    def loss(target: Tensor) -> Tensor:
        torch.manual_seed(0)  # the same draws for each
        return loss_fn(logits, target.expand(6, 3), progress)

    first, second = torch.eye(3)[0], torch.eye(3)[1]
    mixed = loss(0.7 * first + 0.3 * second)
    torch.testing.assert_close(mixed, 0.7 * loss(first) + 0.3 * loss(second))


@pytest.mark.parametrize("name", NAMES)
def test_members_may_stand_in_front_and_are_not_mixed(name: str) -> None:
    loss_fn = method(name, *COUNTS)
    logits = cosines(loss_fn, torch.randn(2, 5, loss_fn.n_experts, 3))
    target = torch.eye(3)[[2] * 5]  # of the rarest class, for which nothing is drawn by chance
    loss, answer = loss_fn(logits, target, EARLY), loss_fn.predict(logits)
    assert loss.shape == (2, 5)
    assert answer.shape == (2, 5, 3)
    torch.testing.assert_close(answer.exp().sum(-1), torch.ones(2, 5))
    for k in range(2):
        torch.testing.assert_close(loss[k], loss_fn(logits[k], target, EARLY))
        torch.testing.assert_close(answer[k], loss_fn.predict(logits[k]))


@pytest.mark.parametrize("scale", [1.0, 100.0])
@pytest.mark.parametrize("name", NAMES)
def test_gradients_are_finite_with_99_classes_one_of_two_rows(name: str, scale: float) -> None:
    loss_fn = method(name, 2, *range(10, 500, 5))
    logits = (scale * torch.randn(8, loss_fn.n_experts, 99)).requires_grad_()
    target = 0.5 * torch.eye(99)[:8] + 0.5 * torch.eye(99)[90:98]
    for progress in (EARLY, LATE):
        loss = loss_fn(cosines(loss_fn, logits), target, progress)
        (gradient,) = torch.autograd.grad(loss.sum(), logits)
        assert bool(loss.isfinite().all())
        assert bool(gradient.isfinite().all())
        assert float(gradient.abs().sum()) > 0


@pytest.mark.parametrize("name", NAMES)
def test_two_classes_are_enough(name: str) -> None:
    loss_fn = method(name, 9, 2)
    loss = loss_fn(cosines(loss_fn, torch.randn(4, loss_fn.n_experts, 2)), torch.eye(2)[[0, 1, 0, 1]], LATE)
    assert bool(loss.isfinite().all())


@pytest.mark.parametrize("name", NAMES)
def test_an_answer_can_be_exported_for_any_number_of_rows(name: str) -> None:
    loss_fn = method(name, *COUNTS)

    class Answer(torch.nn.Module):
        def forward(self, logits: Tensor) -> Tensor:
            return loss_fn.predict(logits)

    some, others = (cosines(loss_fn, torch.randn(n, loss_fn.n_experts, 3)) for n in (4, 7))
    rows = torch.export.Dim("rows")
    exported = torch.export.export(Answer(), (some,), dynamic_shapes=({0: rows},)).module()
    torch.testing.assert_close(exported(others), loss_fn.predict(others))
    traced = torch.jit.trace(Answer(), some)
    torch.testing.assert_close(traced(others), loss_fn.predict(others))


def test_an_unknown_method_is_named_with_the_nearest_known_one() -> None:
    with pytest.raises(
        SpecError, match=r"^network\.loss: 'ldam' is none of experts, cross_entropy, .*ldam_drw"
    ):
        method("ldam", *COUNTS)


@pytest.mark.parametrize("name", NAMES)
def test_a_method_works_on_the_device_of_its_logits(name: str) -> None:
    loss_fn = method(name, *COUNTS)
    logits = torch.zeros(4, loss_fn.n_experts, 3, device="meta")
    assert loss_fn.costs(logits, LATE).device.type == loss_fn.predict(logits).device.type == "meta"
