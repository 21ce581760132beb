"""What validation rows decide: how good a network is, a baseline's temperature, and its best modality."""

import math

import numpy as np
import pytest
import torch
from tailfuse.data.split_arrays import SplitArrays
from tailfuse.losses.imbalance import make_loss
from tailfuse.network.baselines.fused import Baseline, FusedAnswer, make_equal_weights
from tailfuse.network.baselines.single import Single
from tailfuse.training.validate import (
    compute_class_weights,
    compute_validation_scores,
    fit_temperature,
    rank_modalities,
    validate,
)
from torch import Tensor, nn

from tests.support.layers import find_linear

CPU = torch.device("cpu")
LOSS_FN = make_loss("cross_entropy", torch.tensor([1.0, 1.0]), ())


class Rows(nn.Module):
    """An encoder of rows that are logits already."""

    def __init__(self) -> None:
        super().__init__()
        linear = nn.Linear(2, 2, bias=False)
        nn.init.eye_(linear.weight)
        self.layers = nn.Sequential(linear)

    def extract_features(self, rows: Tensor) -> Tensor:
        return rows

    def forward(self, rows: Tensor) -> Tensor:
        logits: Tensor = self.layers(rows)
        return logits


class First(nn.Module):
    """Answers with the first modality's logits."""

    def forward(self, embeddings: Tensor, presence: Tensor) -> FusedAnswer:
        return FusedAnswer(embeddings[:, 0], make_equal_weights(presence))


def make_part(labels: list[int], **rows: list[list[float]]) -> SplitArrays:
    inputs = {name: np.array(values, np.float32) for name, values in rows.items()}
    position = {name: np.arange(len(labels)) for name in rows}
    return SplitArrays(inputs, position, np.array(labels))


def odds(probability: float) -> list[float]:
    return [math.log(probability), math.log(1 - probability)]


def test_every_class_has_the_same_weight_and_one_without_rows_none() -> None:
    assert compute_class_weights(torch.tensor([0, 0, 0, 3])).tolist() == pytest.approx(
        [1 / 6, 1 / 6, 1 / 6, 1 / 2]
    )


def test_the_temperature_undoes_how_sure_the_answers_are_by_hand() -> None:
    # Of four rows of each class three are answered right: the truth is 3/4. The answers say so, cubed.
    sure = [3 * value for value in odds(0.75)]
    part = make_part([0, 0, 0, 1, 1, 1, 1, 0], one=[sure] * 4 + [sure[::-1]] * 4)
    network = Baseline({"one": Rows()}, n_classes=2, loss_fn=LOSS_FN, fusion=First())
    fit_temperature(network, part, CPU)
    assert float(network.temperature) == pytest.approx(3.0, rel=1e-2)
    answer = network(
        {"one": torch.tensor([sure])}, {"one": torch.tensor([0])}, torch.ones(1, 1, dtype=torch.bool)
    )
    assert answer.probabilities[0].tolist() == pytest.approx([0.75, 0.25], abs=2e-3)
    assert answer.confidences[0].tolist() == pytest.approx([0.75], abs=2e-3)
    assert {name: float(value) for name, value in network.describe_calibration().items()} == {
        "temperature": pytest.approx(3.0, rel=1e-2)
    }


def test_the_temperature_is_the_same_whatever_it_was_before() -> None:
    part = make_part([0, 1, 0, 1], one=[odds(0.9), odds(0.3), odds(0.4), odds(0.1)])
    network, found = Baseline({"one": Rows()}, n_classes=2, loss_fn=LOSS_FN, fusion=First()), []
    for before in (1.0, 5.0):
        network.temperature.fill_(before)
        fit_temperature(network, part, CPU)
        found.append(float(network.temperature))
    assert found[0] == found[1]


@pytest.fixture
def single() -> Baseline:
    """Three modalities whose rows are logits."""
    fusion = Single(3, 2, LOSS_FN, 2, 0.0)
    for at in range(len(fusion.heads)):
        linear = find_linear(fusion, f"heads.{at}.linear")
        nn.init.eye_(linear.weight)
        nn.init.zeros_(linear.bias)
    return Baseline({name: Rows() for name in ("a", "b", "c")}, n_classes=2, loss_fn=LOSS_FN, fusion=fusion)


RIGHT, UNSURE = [odds(0.9), odds(0.1)], [odds(0.6), odds(0.5)]


def test_the_modality_that_validates_best_alone_comes_first(single: Baseline) -> None:
    part = make_part([0, 1], a=UNSURE, b=RIGHT, c=RIGHT[::-1])
    assert rank_modalities(single, part, CPU).tolist() == [1, 0, 2]


def test_a_modality_without_validation_rows_comes_last(single: Baseline) -> None:
    part = make_part([0, 1], a=RIGHT[::-1], b=RIGHT, c=RIGHT)
    absent = SplitArrays(part.inputs, {**part.position, "b": np.array([-1, -1])}, part.labels)
    assert rank_modalities(single, absent, CPU).tolist() == [1, 2, 0]


def test_while_it_learns_the_best_modality_is_chosen_anew_by_every_validation(single: Baseline) -> None:
    for best in range(3):
        rows = [UNSURE] * 3
        rows[best] = RIGHT
        part = make_part([0, 1], **dict(zip("abc", rows, strict=True)))
        loss, accuracy = validate(single, part, CPU)
        assert single.ranks is not None
        assert single.ranks[best] == 0
        assert accuracy == 1.0
        assert loss == compute_validation_scores(single, part.only(["abc"[best]]), CPU)[0]
