"""Conflict: a modality whose values belong to another sample is recognised by what the others say."""

import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tailfuse.calibration.calibration_set import compute_row_weights
from tailfuse.calibration.fit_conflict import CONFLICT_RATE, draw_donors, fit_hypotheses, make_conflicts
from tailfuse.calibration.fusion_inputs import FusionInputs
from tailfuse.network.conflict import Conflict
from torch import Tensor

CLASSES, MODALITIES = 5, 3


def make_conflict(rho: float = 0.05, gamma: float = 1.0, slope: float = 1.0) -> Conflict:
    conflict = Conflict().requires_grad_(False)
    conflict.log_rho.fill_(math.log(rho))
    conflict.log_gamma.fill_(math.log(gamma))
    conflict.log_slope.fill_(math.log(slope))
    return conflict


def make_posteriors(*labels: int | None, sure: float = 0.9999) -> Tensor:
    """One sample whose modalities are `sure` of these classes; None knows nothing: (1, M, C)"""
    rows = []
    for label in labels:
        p = torch.full((CLASSES,), 1 / CLASSES if label is None else (1 - sure) / (CLASSES - 1))
        if label is not None:
            p[label] = sure
        rows.append(p.log())
    return torch.stack(rows)[None]


def judge(conflict: Conflict, posteriors: Tensor, in_dist: float = 5.0) -> tuple[list[float], float]:
    """The in-distribution probabilities of one sample, divided by those before, and its conflict."""
    before = torch.full(posteriors.shape[:2], in_dist)
    judged = conflict(posteriors, before, torch.ones(posteriors.shape[:2], dtype=torch.bool))
    kept = judged.in_dist.sigmoid() / before.sigmoid()
    return kept[0].tolist(), float(judged.conflict)


def test_the_odd_one_of_three_is_recognised_and_the_others_keep_their_weight() -> None:
    kept, conflict = judge(make_conflict(), make_posteriors(2, 2, 4))
    assert conflict > 0.9
    assert kept[2] < 0.1
    assert min(kept[:2]) > 0.95


def test_modalities_that_agree_are_in_no_conflict() -> None:
    kept, conflict = judge(make_conflict(), make_posteriors(2, 2, 2))
    assert conflict < 0.02
    assert min(kept) > 0.99


def test_of_two_it_cannot_be_known_which_is_odd() -> None:
    kept, conflict = judge(make_conflict(), make_posteriors(1, 3))
    assert conflict > 0.5
    assert kept[0] == pytest.approx(kept[1], abs=1e-5)
    assert kept[0] == pytest.approx(1 - conflict / 2, abs=1e-3)


def test_a_modality_that_knows_nothing_is_in_no_conflict() -> None:
    rate = 0.05
    kept, conflict = judge(make_conflict(rate / (1 - rate)), make_posteriors(2, None))
    assert conflict == pytest.approx(rate, abs=1e-3)  # the prior rate: nothing speaks for it, or against
    assert kept[0] == pytest.approx(kept[1], abs=1e-5)


def test_a_corrupted_modality_accuses_no_other() -> None:
    """What noise says is not evidence."""
    posteriors = make_posteriors(2, 2, 4)
    in_dist = torch.tensor([[5.0, 5.0, -8.0]])
    present = torch.ones(1, 3, dtype=torch.bool)
    judged = make_conflict()(posteriors, in_dist, present)
    assert float(judged.conflict) < 0.06
    torch.testing.assert_close(judged.in_dist[0, :2].sigmoid(), in_dist[0, :2].sigmoid(), atol=0.03, rtol=0)


def test_by_the_definition() -> None:
    """The odds of each hypothesis, summed by hand over the classes."""
    torch.manual_seed(3)
    p = torch.rand(1, MODALITIES, CLASSES, dtype=torch.float64).log_softmax(-1).float()
    in_dist = torch.tensor([[2.0, 0.0, 4.0]])
    rho, gamma, slope = 0.3, 0.7, 1.6
    q = [(gamma * d * each).softmax(-1).double() for d, each in zip(in_dist[0].sigmoid(), p[0], strict=True)]
    everyone = sum(math.prod(float(each[c]) for each in q) for c in range(CLASSES))
    odds = [
        rho / MODALITIES * (sum(
            math.prod(float(each[c]) for n, each in enumerate(q) if n != m) for c in range(CLASSES)
        ) / CLASSES / everyone) ** slope
        for m in range(MODALITIES)
    ]  # fmt: skip
    expected = [each / (1 + sum(odds)) for each in odds]
    judged = make_conflict(rho, gamma, slope)(p, in_dist, torch.ones(1, 3, dtype=torch.bool))
    assert float(judged.conflict) == pytest.approx(sum(expected), abs=1e-5)
    kept = in_dist[0].sigmoid().double() * (1 - torch.tensor(expected))
    torch.testing.assert_close(judged.in_dist[0].sigmoid().double(), kept, atol=1e-5, rtol=0)


@given(
    values=st.lists(st.floats(-60, 60), min_size=15, max_size=15),
    in_dist=st.lists(st.floats(-50, 50), min_size=3, max_size=3),
    present=st.lists(st.booleans(), min_size=3, max_size=3).filter(any),
)
def test_whatever_the_posteriors_all_is_finite_and_a_probability(
    values: Any, in_dist: Any, present: Any
) -> None:
    posteriors = torch.tensor(values).reshape(1, 3, 5).log_softmax(-1)
    presence = torch.tensor([present])
    before = torch.tensor([in_dist])
    posteriors = posteriors.masked_fill(~presence[:, :, None], torch.nan)  # an absent slot may hold NaN
    judged = make_conflict(1.0, 2.0, 5.0)(posteriors, before, presence)
    conflict, after = float(judged.conflict), judged.in_dist[presence]
    assert 0 <= conflict <= 1 + 1e-6
    assert after.isfinite().all()
    assert (after <= before[presence] + 1e-4).all()
    if sum(present) < 2:
        assert conflict == 0
        torch.testing.assert_close(after, before[presence])


def test_before_it_is_fitted_and_in_older_runs_nothing_changes() -> None:
    kept, conflict = judge(Conflict().requires_grad_(False), make_posteriors(2, 2, 4))
    assert (kept, conflict) == ([1.0, 1.0, 1.0], 0.0)
    older = Conflict().requires_grad_(False)
    older.load_state_dict({})
    assert judge(older, make_posteriors(2, 2, 4)) == (kept, conflict)


def make_inputs(labels: Tensor, posteriors: Tensor, presence: Tensor) -> FusionInputs:
    empty: Any = None
    return FusionInputs(
        posteriors, empty, empty, torch.full(presence.shape, 4.0), empty, empty, presence, labels,
        compute_row_weights(labels), empty, empty,
    )  # fmt: skip


def draw_inputs(n: int = 300) -> FusionInputs:
    """Rows whose modalities are right in nine of ten cases, and as sure as that."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(CLASSES, (n,), generator=generator)
    right = torch.rand(n, MODALITIES, generator=generator) < 0.9
    other = (labels[:, None] + torch.randint(1, CLASSES, (n, MODALITIES), generator=generator)) % CLASSES
    said = torch.where(right, labels[:, None], other)
    p = torch.full((n, MODALITIES, CLASSES), 0.1 / (CLASSES - 1)).scatter(2, said[:, :, None], 0.9)
    presence = torch.rand(n, MODALITIES, generator=generator) < 0.9
    presence[:, 0] = True
    return make_inputs(labels, p.log(), presence)


def test_half_of_the_rows_have_a_modality_of_another_class() -> None:
    inputs = draw_inputs()
    pieces = list(make_conflicts(inputs, torch.Generator().manual_seed(0)))
    odd = torch.cat([piece.odd for piece in pieces])
    assert (odd > 0).float().mean() == pytest.approx(0.5, abs=0.01)
    for piece in pieces:
        assert (piece.presence.sum(1) >= 2).all()
        swapped = piece.odd > 0
        assert piece.presence[swapped, piece.odd[swapped] - 1].all()


def test_donors_are_of_another_class_and_have_the_modality() -> None:
    inputs = draw_inputs()
    rows = torch.arange(300)
    m = torch.full((300,), 2)
    donors = draw_donors(inputs, rows, m, torch.Generator().manual_seed(0))
    assert (donors >= 0).all()
    assert (inputs.labels[donors] != inputs.labels[rows]).all()
    assert inputs.presence[donors, 2].all()
    alike = inputs._replace(labels=torch.zeros_like(inputs.labels))
    assert (draw_donors(alike, rows, m, torch.Generator()) == -1).all()


def test_the_fit_tells_swapped_rows_from_mistakes() -> None:
    generator = torch.Generator().manual_seed(1)
    pieces = list(make_conflicts(draw_inputs(), generator))
    fitted = fit_hypotheses(type(pieces[0])(*(torch.cat(each) for each in zip(*pieces, strict=True))))
    agree, swapped = make_posteriors(1, 1, 1, sure=0.9), make_posteriors(1, 1, 3, sure=0.9)
    assert judge(fitted, agree)[1] < CONFLICT_RATE
    assert judge(fitted, swapped)[1] > 2 * CONFLICT_RATE
    assert judge(fitted, swapped)[0][2] < min(judge(fitted, swapped)[0][:2])
