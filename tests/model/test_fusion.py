"""Fusion: weights from confidences, votes, and what is fused with them."""

from collections.abc import Sequence
from math import log, sqrt
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tailfuse.network.fusion import (
    MAX_MODALITIES_WITH_SUBSETS,
    Fusion,
    FusionWeights,
    ModalityPosteriors,
    compute_disagreement,
    compute_modulation,
)
from torch import Tensor


def make_fusion(
    base_logits: Sequence[float],
    a: float = 1.0,
    kappa: float = 1.0,
    share: float = 1.0,
    *,
    uniform: bool = False,
) -> Fusion:
    """A fusion with these b, a, and kappa and lambda of every subset; softplus has to be undone."""
    fusion = Fusion(len(base_logits), uniform=uniform).requires_grad_(False)
    fusion.base_logits.copy_(torch.tensor(base_logits))
    fusion.raw_slope.copy_(torch.tensor(a).expm1().log())
    fusion.log_kappa.fill_(log(kappa))
    fusion.log_lambda.fill_(log(share))
    return fusion


def logits(*probabilities: float) -> Tensor:
    return torch.tensor([probabilities]).logit()


SURE = torch.tensor([[torch.inf, torch.inf]])
TWO = torch.tensor([[True, True]])
ALL = torch.tensor([[True, True, True]])
# 4 to 1, and undecided; the joint branch says 1 to 3.
POSTERIOR_LOGITS = torch.tensor([[[0.8, 0.2], [0.5, 0.5]]]).log()
JOINT = torch.tensor([[0.25, 0.75]]).log()


def compute_odds(fusion: Fusion, in_dist: Tensor, correct: Tensor = SURE, presence: Tensor = TWO) -> float:
    """What VOTES and JOINT make together, first class to second."""
    weighting = fusion.compute_weights(in_dist, correct, presence)
    answer = fusion.fuse(POSTERIOR_LOGITS, JOINT, weighting, presence)[0].exp()
    assert float(answer.sum()) == pytest.approx(1.0, abs=1e-6)
    return float(answer[0] / answer[1])


@pytest.mark.parametrize(("a", "expected"), [(1.0, [0.9, 0.1]), (2.0, [18 / 19, 1 / 19])])
def test_weights_by_hand(a: float, expected: list[float]) -> None:
    # a = 1: 1 x 0.5 x 0.81 = 0.405 and 2 x 0.25 x 0.09 = 0.045.
    # a = 2: 1 x 0.25 x 0.81 = 0.2025 and 2 x 0.0625 x 0.09 = 0.01125.
    weighting = make_fusion([log(1), log(2)], a).compute_weights(logits(0.9, 0.3), logits(0.5, 0.25), TWO)
    assert weighting.weights[0].tolist() == pytest.approx(expected, abs=1e-6)
    unnormalised = [0.405, 0.045] if a == 1 else [0.2025, 0.01125]
    assert weighting.logits.exp()[0].tolist() == pytest.approx(unnormalised, abs=1e-6)
    assert weighting.in_dist[0].tolist() == pytest.approx([0.9, 0.3], abs=1e-6)


@given(
    rows=st.lists(
        st.tuples(*[st.tuples(st.booleans(), st.floats(-1e6, 1e6), st.floats(-1e6, 1e6))] * 3).filter(
            lambda row: any(present for present, *_ in row)
        ),
        min_size=1, max_size=9,
    ),
    uniform=st.booleans(),
)  # fmt: skip
def test_weights_sum_to_one_over_what_is_present(rows: list[Any], uniform: bool) -> None:
    values = torch.tensor([[each[1:] for each in row] for row in rows])
    presence = torch.tensor([[each[0] for each in row] for row in rows])
    weighting = make_fusion([0.3, -1.0, 2.0], uniform=uniform).compute_weights(
        values[..., 0], values[..., 1], presence
    )
    torch.testing.assert_close(weighting.weights.sum(1), torch.ones(len(rows)))
    assert (weighting.weights[~presence] == 0).all()
    assert (weighting.in_dist[~presence] == 0).all()
    assert (weighting.logits.exp()[~presence] == 0).all()


@pytest.mark.parametrize("stands", [torch.nan, torch.inf, 1e30, -1e30, 0.0])
@pytest.mark.parametrize("uniform", [False, True])
def test_an_absent_modality_counts_exactly_nothing_whatever_stands_in_its_slot(
    stands: float, uniform: bool
) -> None:
    fusion, presence = make_fusion([0.0, 1.0, 2.0], uniform=uniform), torch.tensor([[True, True, False]])
    in_dist, correct = logits(0.9, 0.3, 0.5), logits(0.5, 0.25, 0.5)
    expected = fusion.compute_weights(in_dist, correct, presence)
    in_dist[0, 2] = correct[0, 2] = stands
    weighting = fusion.compute_weights(in_dist, correct, presence)
    assert weighting.weights[0, 2] == 0.0
    assert weighting.in_dist[0, 2] == 0.0
    assert torch.equal(weighting.weights, expected.weights)
    assert torch.equal(weighting.logits, expected.logits)


def test_confidences_near_zero_still_make_weights() -> None:
    # The squares of e^-300 and e^-301 are 0 in single precision; one is e^2 times the other.
    presence = torch.tensor([[True, True, False]])
    in_dist = torch.tensor([[-300.0, -301.0, 0.0]])
    weights = make_fusion([0.0] * 3).compute_weights(in_dist, torch.zeros(1, 3), presence).weights
    assert weights[0].tolist() == pytest.approx([0.8808, 0.1192, 0.0], abs=1e-4)


def test_uniform_weights_are_equal_and_know_no_doubts() -> None:
    fusion = make_fusion([0.0, log(4)], uniform=True)
    weighting = fusion.compute_weights(logits(0.9, 1e-9), logits(0.9, 1e-9), TWO)
    assert weighting.weights.tolist() == [[0.5, 0.5]]
    assert weighting.in_dist.tolist() == [[1.0, 1.0]]
    # A vote is worth the mean b, ln 2, of each: (4 x 1)^2; the joint branch counts whole.
    assert compute_odds(fusion, logits(0.9, 1e-9)) == pytest.approx(16 / 3, rel=1e-5)


def test_kappa_sharpens_the_votes_by_hand() -> None:
    # 4 to 1 squared, times 1 to 3.
    assert compute_odds(make_fusion([0.0, 0.0], kappa=2.0), SURE) == pytest.approx(16 / 3, rel=1e-5)


def test_lambda_is_the_share_of_the_joint_branch_by_hand() -> None:
    assert compute_odds(make_fusion([0.0, 0.0], share=2.0), SURE) == pytest.approx(4 / 9, rel=1e-5)


def test_a_vote_is_worth_what_is_trusted_of_it_by_hand() -> None:
    # b = ln 3 and P(right) = 1/2: 4 to 1 to the power of 3/2, which is 8.
    odds = compute_odds(make_fusion([log(3), 0.0], share=1e-9), SURE, logits(0.5, 0.9))
    assert odds == pytest.approx(8.0, rel=1e-5)


def test_what_is_half_real_by_hand() -> None:
    # Votes count 1/2 squared: the fourth root of 4 to 1. The joint branch r = 1/2: the root of 1 to 3.
    assert compute_odds(make_fusion([0.0, 0.0]), logits(0.5, 0.5)) == pytest.approx(sqrt(2 / 3), rel=1e-5)


def test_what_the_joint_branch_says_counts_as_far_as_the_weights_lie_on_what_is_real() -> None:
    # Worth 1 x 1/4 and 9 x 1/36 are weights of 1/2 each; r = (1/2 + 1/6) / 2 = 1/3. Votes: 4 to the 1/4.
    odds = compute_odds(make_fusion([0.0, log(9)]), logits(0.5, 1 / 6))
    assert odds == pytest.approx(sqrt(2) * (1 / 3) ** (1 / 3), rel=1e-4)


@pytest.mark.parametrize("doubt", [-30.0, -1e6])
def test_where_nothing_real_is_left_the_answer_is_that_it_knows_nothing(doubt: float) -> None:
    assert compute_odds(
        make_fusion([5.0, 5.0], kappa=9.0, share=9.0), torch.full((1, 2), doubt)
    ) == pytest.approx(1, abs=1e-6)


def test_a_modality_that_is_not_real_leaves_the_answer_to_the_others() -> None:
    gone = torch.tensor([[torch.inf, -1e4]])
    alone = compute_odds(make_fusion([0.0, 0.0]), SURE, presence=torch.tensor([[True, False]]))
    assert compute_odds(make_fusion([0.0, 0.0]), gone) == pytest.approx(alone, rel=1e-5)


def test_every_subset_has_a_kappa_and_a_lambda_of_its_own() -> None:
    fusion = make_fusion([0.0, 0.0])
    fusion.log_kappa.copy_(torch.tensor([9.0, 2.0, 9.0, 1.0]).log())
    fusion.log_lambda.copy_(torch.tensor([9.0, 3.0, 9.0, 1.0]).log())
    only_first = torch.tensor([[True, False]])
    assert compute_odds(fusion, SURE) == pytest.approx(4 / 3, rel=1e-5)
    assert compute_odds(fusion, SURE, presence=only_first) == pytest.approx(16 / 27, rel=1e-5)


def test_up_to_six_modalities_bit_m_of_a_subsets_index_says_that_m_is_present() -> None:
    presence = torch.tensor([[True, False, False], [False, True, False], [True, False, True], [True] * 3])
    assert Fusion(3).index_subsets(presence).tolist() == [1, 2, 5, 7]
    every = torch.ones(1, MAX_MODALITIES_WITH_SUBSETS, dtype=torch.bool)
    assert Fusion(6).index_subsets(every).tolist() == [63]
    assert len(Fusion(6).log_kappa) == 64


def test_beyond_six_modalities_kappa_and_lambda_go_by_their_number() -> None:
    presence = torch.zeros(3, 7, dtype=torch.bool)
    presence[0, 5] = presence[1, :2] = presence[2, :] = True
    fusion = Fusion(7).requires_grad_(False)
    assert fusion.index_subsets(presence).tolist() == [1, 2, 7]
    assert len(fusion.log_kappa) == len(fusion.log_lambda) == 8
    fusion.log_kappa.copy_(torch.arange(8.0))
    fusion.log_lambda.fill_(-torch.inf)
    posterior_logits = torch.tensor([1.0, 0.0]).expand(3, 7, 2)
    weighting = FusionWeights(
        torch.zeros(3, 7).masked_fill(~presence, -torch.inf), presence / 7, presence.float()
    )
    answer = fusion.fuse(posterior_logits, torch.zeros(3, 2), weighting, presence)
    # Seven votes of 1 each make e^7 x 7, one makes e.
    expected = torch.tensor([1.0, 2.0, 7.0]).exp() * torch.tensor([1.0, 2.0, 7.0])
    torch.testing.assert_close(answer[:, 0] - answer[:, 1], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("n_modalities", [2, 6, 7, 9])
def test_before_they_are_fitted_votes_of_many_are_worth_less_than_their_sum(n_modalities: int) -> None:
    fusion = Fusion(n_modalities).requires_grad_(False)
    for present in range(1, n_modalities + 1):
        presence = torch.arange(n_modalities)[None] < present
        assert float(fusion.log_kappa.exp()[fusion.index_subsets(presence)]) == pytest.approx(present**-0.5)


def test_a_modality_enters_the_joint_branch_whole_until_it_has_half_of_its_share() -> None:
    weights = torch.tensor([[0.9, 0.1, 0.0], [0.5, 0.25, 0.25]])
    presence = torch.tensor([[True, True, False], [True, True, True]])
    expected = torch.tensor([[1.0, 0.4, 0.0], [1.0, 1.0, 1.0]])
    torch.testing.assert_close(compute_modulation(weights, presence), expected)


def test_what_is_fitted_is_told_as_it_is_used() -> None:
    fitted = make_fusion([0.5, -2.0], 1.5, 0.7, 3.0).describe_calibration()
    assert fitted["worth"].tolist() == [0.5, -2.0]
    assert float(fitted["slope"]) == pytest.approx(1.5)
    assert fitted["kappa"].tolist() == pytest.approx([0.7] * 4)
    assert fitted["lambda"].tolist() == pytest.approx([3.0] * 4)


def test_posteriors_and_votes_by_hand() -> None:
    posteriors = ModalityPosteriors(2)
    posteriors.pool_weights.copy_(torch.tensor([[0.5, 1.0], [2.0, 0.0]]))
    posteriors.temperature.copy_(torch.tensor([2.0, 4.0]))
    # The root of 4 to 1, times 3 to 1, is 6 to 1. The other modality: 4 to 1 squared.
    log_p = torch.tensor([[0.8, 0.2]]).log().expand(1, 2, 2)
    densities = torch.tensor([[log(3) - 40, -40.0]]).expand(1, 2, 2)
    log_posteriors = posteriors(log_p, densities)
    expected = [[log(6 / 7), log(1 / 7)], [log(16 / 17), log(1 / 17)]]
    torch.testing.assert_close(log_posteriors[0], torch.tensor(expected))
    posterior_logits = posteriors.soften(log_posteriors)[0]
    torch.testing.assert_close(posterior_logits, torch.tensor(expected) / torch.tensor([[2.0], [4.0]]))


def test_unfitted_posteriors_are_those_of_the_softmax_experts() -> None:
    posteriors, log_p = ModalityPosteriors(2), torch.randn(5, 2, 3).log_softmax(-1)
    torch.testing.assert_close(posteriors(log_p, 1e6 * torch.randn(5, 2, 3)), log_p)
    assert torch.equal(posteriors.soften(log_p), log_p)
    assert posteriors(log_p[:0], log_p[:0]).shape == (0, 2, 3)


@pytest.mark.parametrize(
    ("own", "weights", "bits"),
    [
        ([[1.0, 0.0], [0.0, 1.0]], [0.5, 0.5], 1.0),
        ([[1.0, 0.0], [0.0, 1.0]], [0.25, 0.75], 0.811278),  # the entropy of 1 to 3
        ([[0.7, 0.3], [0.7, 0.3]], [0.4, 0.6], 0.0),
        ([[0.7, 0.3], [0.1, 0.9]], [1.0, 0.0], 0.0),  # the other has no say, or is absent
        ([[0.9, 0.1], [0.5, 0.5]], [0.5, 0.5], 0.146793),  # H(0.7) - (H(0.9) + H(0.5)) / 2
    ],
)
def test_disagreement_in_bits_by_hand(own: list[Any], weights: list[Any], bits: float) -> None:
    answers = torch.tensor([own]).clamp(min=1e-30).log()
    assert float(compute_disagreement(answers, torch.tensor([weights]))) == pytest.approx(bits, abs=1e-5)


@given(rows=st.lists(st.lists(st.floats(-30, 30), min_size=6, max_size=6), min_size=1, max_size=5))
def test_disagreement_lies_between_none_and_the_bits_that_name_a_modality(rows: list[Any]) -> None:
    answers = torch.tensor(rows).view(-1, 3, 2).log_softmax(-1)
    bits = compute_disagreement(answers, torch.full((len(rows), 3), 1 / 3))
    assert ((bits >= 0) & (bits <= log(3) / log(2) + 1e-5)).all()
