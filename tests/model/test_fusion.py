"""Fusion: weights from confidences, and what is fused with them."""

import pytest
import torch
from torch import Tensor

from model.network.fusion import Fusion, modulation


def fusion_of(a: float, kappa: list[float], share: list[float]) -> Fusion:
    """A fusion with these values; softplus has to be undone."""
    fusion = Fusion(len(kappa))
    with torch.no_grad():
        for parameter, value in (
            (fusion.raw_slope, a), (fusion.raw_kappa, kappa), (fusion.raw_lambda, share),
        ):  # fmt: skip
            parameter.copy_(torch.tensor(value).expm1().log())
    return fusion


def logits(*confidences: float) -> Tensor:
    return torch.tensor([confidences]).logit()


ALL = torch.tensor([[True, True, True]])


@pytest.mark.parametrize(("a", "expected"), [(1.0, [0.5, 0.3, 0.2]), (2.0, [25 / 38, 9 / 38, 4 / 38])])
def test_weights_are_powers_of_the_confidences(a: float, expected: list[float]) -> None:
    weights = fusion_of(a, [1.0] * 3, [1.0] * 3).weights(logits(0.5, 0.3, 0.2), ALL)
    assert weights[0].tolist() == pytest.approx(expected, abs=1e-5)


def test_an_absent_modality_has_no_weight_whatever_stands_in_its_slot() -> None:
    fusion = fusion_of(1.0, [1.0] * 3, [1.0] * 3)
    scores = logits(0.5, 0.3, 0.2)
    scores[0, 2] = torch.nan
    weights = fusion.weights(scores, torch.tensor([[True, True, False]]))[0].tolist()
    assert weights == pytest.approx([5 / 8, 3 / 8, 0.0], abs=1e-5)
    assert weights[2] == 0.0


def test_confidences_near_zero_still_make_weights() -> None:
    weights = Fusion(3).weights(torch.tensor([[-300.0, -302.0, 0.0]]), torch.tensor([[True, True, False]]))
    assert weights[0].tolist() == pytest.approx([0.8808, 0.1192, 0.0], abs=1e-3)


def test_kappa_sharpens_the_votes_by_hand() -> None:
    # Votes 4/5, 1/5 and 1/2, 1/2 with equal weights are 2/3, 1/3; squared, 4/5, 1/5.
    votes = torch.tensor([[[0.8, 0.2], [0.5, 0.5]]]).log()
    two = torch.tensor([[True, True]])
    answer = fusion_of(1.0, [9.0, 2.0], [9.0, 1.0]).log_probabilities(
        votes, torch.zeros(1, 3, 2), torch.tensor([[0.5, 0.5]]), two
    )
    assert answer.exp()[0].tolist() == pytest.approx([0.8, 0.2], abs=1e-5)


def test_lambda_is_the_share_of_the_joint_branch_by_hand() -> None:
    # 2/3, 1/3 times the square of 1/4, 3/4 is 2 to 9.
    votes = torch.tensor([[[0.8, 0.2], [0.5, 0.5]]]).log()
    joint = torch.tensor([[[0.25, 0.75]]]).log()
    answer = fusion_of(1.0, [9.0, 1.0], [9.0, 2.0]).log_probabilities(
        votes, joint, torch.tensor([[0.5, 0.5]]), torch.tensor([[True, True]])
    )
    assert answer.exp()[0].tolist() == pytest.approx([2 / 11, 9 / 11], abs=1e-5)


def test_kappa_and_lambda_go_by_the_number_of_modalities_present() -> None:
    votes = torch.tensor([[[0.8, 0.2], [0.0, 0.0]]])
    votes[0, 0] = votes[0, 0].log()
    answer = fusion_of(1.0, [2.0, 9.0], [1.0, 9.0]).log_probabilities(
        votes, torch.zeros(1, 1, 2), torch.tensor([[1.0, 0.0]]), torch.tensor([[True, False]])
    )
    assert answer.exp()[0].tolist() == pytest.approx([16 / 17, 1 / 17], abs=1e-5)


def test_a_modality_enters_the_joint_branch_whole_until_it_has_half_of_its_share() -> None:
    weights = torch.tensor([[0.9, 0.1, 0.0], [0.5, 0.25, 0.25]])
    presence = torch.tensor([[True, True, False], [True, True, True]])
    expected = torch.tensor([[1.0, 0.4, 0.0], [1.0, 1.0, 1.0]])
    torch.testing.assert_close(modulation(weights, presence), expected)


def test_what_is_fitted_is_told_as_it_is_used() -> None:
    fitted = fusion_of(1.5, [1.0, 2.0], [0.5, 3.0]).fitted()
    assert float(fitted["a"]) == pytest.approx(1.5)
    assert fitted["kappa"].tolist() == pytest.approx([1.0, 2.0])
    assert fitted["lambda"].tolist() == pytest.approx([0.5, 3.0])
