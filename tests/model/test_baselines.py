"""The fusions that ours is compared with: each against its formula, and served like ours."""

from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from tailfuse.errors import SpecError
from tailfuse.evaluation.evaluate import subsets
from tailfuse.export.graphs import TOLERANCE, make_example
from tailfuse.losses.experts import aggregate
from tailfuse.losses.imbalance import make_loss
from tailfuse.network.baselines import FUSIONS
from tailfuse.network.baselines.concat import Concat
from tailfuse.network.baselines.dynamics import Dynamics
from tailfuse.network.baselines.late import Late
from tailfuse.network.baselines.sade_mm import SadeMM
from tailfuse.network.baselines.single import Single
from tailfuse.network.baselines.tensor import TensorFusion, choose_projected_width, compute_outer_product
from tailfuse.network.head import stack_posteriors
from tailfuse.network.joint import JointBranch
from tailfuse.spec.schema import Fusion
from tailfuse_service.bundle import open_bundle, read_manifest
from torch import Tensor

from tests.support.layers import find_linear

B, M, W, C = 6, 3, 8, 4
COUNTS = torch.tensor([40.0, 20.0, 10.0, 5.0])
LOSS_FN = make_loss("logit_adjustment", COUNTS, ())
# All, the last two, the first alone, and again.
PRESENCE = torch.tensor([[1, 1, 1], [0, 1, 1], [1, 0, 0]] * 2, dtype=torch.bool)


@pytest.fixture
def embeddings() -> Tensor:
    torch.manual_seed(1)
    return torch.randn(B, M, W) * PRESENCE[:, :, None]


def built(name: str, n_modalities: int = M) -> Any:
    torch.manual_seed(0)
    if name == "sade_mm":  # its embeddings are four, end to end
        return SadeMM(n_modalities, W // 4, make_loss("sade", COUNTS, ()), C, 0.5)
    return FUSIONS[name](n_modalities, W, LOSS_FN, C, 0.5)


def targets() -> Tensor:
    return torch.eye(C)[torch.arange(B) % C]


def test_the_spec_knows_every_fusion() -> None:
    assert set(get_args(Fusion)) == {"confidence", "uniform", *FUSIONS}


@pytest.mark.parametrize("name", FUSIONS)
def test_what_stands_in_an_absent_slot_does_not_count(name: str, embeddings: Any) -> None:
    fusion = built(name).eval()
    other = torch.where(PRESENCE[:, :, None], embeddings, torch.randn(B, M, W))
    expected, answered = fusion(embeddings, PRESENCE), fusion(other, PRESENCE)
    torch.testing.assert_close(answered.log_p, expected.log_p)
    torch.testing.assert_close(answered.weights, expected.weights)
    torch.testing.assert_close(answered.weights.sum(1), torch.ones(B))
    assert (answered.weights[~PRESENCE] == 0).all()


@pytest.mark.parametrize("name", FUSIONS)
def test_all_of_a_fusion_learns(name: str, embeddings: Any) -> None:
    fusion = built(name).train()
    fusion.loss(embeddings, PRESENCE, PRESENCE.float(), targets(), 0.0).backward()
    assert all(each.grad is not None and each.grad.isfinite().all() for each in fusion.parameters())


@pytest.mark.parametrize("name", ["concat", "tensor", "dynamics"])
def test_in_training_a_modality_left_out_is_absent_and_none_is_scaled(name: str, embeddings: Any) -> None:
    fusion = built(name, 2).train()
    fusion.layers = torch.nn.Sequential()
    if isinstance(fusion, Concat):
        fusion.joint.layers = torch.nn.Sequential()
    pair, both = embeddings[:, :2], torch.ones(B, 2, dtype=torch.bool)

    def loss(u: list[float]) -> Tensor:
        cost: Tensor = fusion.loss(pair, both, torch.tensor([u] * B), targets(), 0.0)
        return cost

    torch.testing.assert_close(loss([1.0, 0.3]), loss([1.0, 1.0]))
    assert not torch.allclose(loss([1.0, 0.0]), loss([1.0, 1.0]))


def test_late_is_the_mean_of_the_probabilities_by_hand() -> None:
    fusion = built("late").eval()
    assert isinstance(fusion, Late)
    embeddings = torch.randn(1, M, W)
    alone = stack_posteriors(fusion.heads, embeddings).exp()[0]
    presence = torch.tensor([[True, False, True]])
    fused = fusion(embeddings, presence)
    torch.testing.assert_close(fused.log_p.exp()[0], (alone[0] + alone[2]) / 2)
    assert fused.weights.tolist() == [[0.5, 0.0, 0.5]]
    assert fused.confidences is not None
    torch.testing.assert_close(fused.confidences[0], alone.max(1).values)


def test_a_modality_alone_answers_with_its_head_and_its_loss_is_its_own(embeddings: Any) -> None:
    fusion = built("late").train()
    assert isinstance(fusion, Late)
    alone = [
        LOSS_FN(head(embeddings[:, m]), targets(), 0.0)[PRESENCE[:, m]].mean()
        for m, head in enumerate(fusion.heads)
    ]
    loss = fusion.loss(embeddings, PRESENCE, PRESENCE.float(), targets(), 0.0)
    torch.testing.assert_close(loss, torch.stack(alone).sum())


def test_the_best_modality_present_answers_alone() -> None:
    fusion = built("single").eval()
    assert isinstance(fusion, Single)
    fusion.ranks.copy_(torch.tensor([2, 0, 1]))  # the second is the best, then the third
    embeddings = torch.randn(3, M, W)
    presence = torch.tensor([[1, 1, 1], [1, 0, 1], [1, 0, 0]], dtype=torch.bool)
    fused, alone = fusion(embeddings, presence), stack_posteriors(fusion.heads, embeddings)
    assert fused.weights.tolist() == [[0, 1, 0], [0, 0, 1], [1, 0, 0]]
    for row, m in enumerate((1, 2, 0)):
        torch.testing.assert_close(fused.log_p[row], alone[row, m])


def test_concatenation_is_the_joint_branch_with_what_is_present(embeddings: Any) -> None:
    fusion = built("concat").eval()
    assert isinstance(fusion, Concat)
    assert isinstance(fusion.joint, JointBranch)
    fused = fusion(embeddings, PRESENCE)
    torch.testing.assert_close(fused.log_p, aggregate(fusion.joint(embeddings, PRESENCE.float())))
    torch.testing.assert_close(fused.weights[1], torch.tensor([0.0, 0.5, 0.5]))
    assert fused.confidences is None


def test_an_outer_product_by_hand() -> None:
    factors = torch.tensor([[[1.0, 2.0], [1.0, 3.0], [1.0, 5.0]]])
    assert compute_outer_product(factors)[0].tolist() == [1, 5, 3, 15, 2, 10, 6, 30]


def test_the_tensor_of_what_is_present_is_the_product_of_its_projections(embeddings: Any) -> None:
    fusion = built("tensor", 2).eval()
    assert isinstance(fusion, TensorFusion)
    fusion.layers = torch.nn.Sequential()
    a, b = (embeddings[0, m] @ fusion.project[m] for m in (0, 1))
    one = torch.ones(1)
    both = torch.outer(torch.cat([one, a]), torch.cat([one, b])).flatten()
    alone = torch.outer(torch.cat([one, a]), torch.cat([one, 0 * b])).flatten()
    for present, expected in (((True, True), both), ((True, False), alone)):
        actual = fusion.compute_hidden(embeddings[:1, :2], torch.tensor([present]))
        torch.testing.assert_close(actual[0], fusion.mix(expected))


@pytest.mark.parametrize(
    ("n_modalities", "width", "expected"),
    [(1, 128, 128), (2, 128, 63), (3, 128, 15), (4, 128, 7), (6, 128, 3), (12, 128, 1), (2, 32, 32)],
)
def test_the_tensor_has_at_most_4096_numbers(n_modalities: int, width: int, expected: int) -> None:
    assert choose_projected_width(n_modalities, width) == expected
    assert (expected + 1) ** n_modalities <= 4096


def test_too_many_modalities_for_a_tensor_are_named() -> None:
    with pytest.raises(SpecError, match=r"network\.fusion: the tensor of 13 modalities is too large"):
        choose_projected_width(13, 128)


@pytest.fixture
def by_hand() -> Dynamics:
    """One modality of one feature and two classes, one classifier, without hidden layers."""
    fusion = Dynamics(1, 1, make_loss("cross_entropy", torch.tensor([1.0, 1.0]), ()), 2, 0.0)
    fusion.layers = torch.nn.Sequential()
    with torch.no_grad():
        for path, weight in (
            ("gates.0", [[1.0]]), ("confidences.0", [[2.0]]), ("mix", [[3.0]]),
            ("heads.0.linear", [[1.0], [0.0]]), ("head.linear", [[1.0], [0.0]]),
        ):  # fmt: skip
            layer = find_linear(fusion, path)
            layer.weight.copy_(torch.tensor(weight))
            layer.bias.zero_()
    return fusion


def test_multimodal_dynamics_by_hand(by_hand: Dynamics) -> None:
    h = torch.tensor(2.0)
    gate = torch.sigmoid(h)
    gated = gate * h
    confidence = torch.sigmoid(2 * gated)
    fused = torch.sigmoid(3 * confidence * gated)  # of the first of two classes; the other's logit is 0
    alone = torch.sigmoid(gated)
    row, here = h.view(1, 1, 1), torch.tensor([[True]])
    answer = by_hand.eval()(row, here)
    assert answer.log_p.exp()[0, 0].item() == pytest.approx(fused.item())
    assert answer.confidences[0, 0].item() == pytest.approx(confidence.item())
    loss = by_hand.train().loss(row, here, torch.ones(1, 1), torch.tensor([[1.0, 0.0]]), 0.0)
    expected = -fused.log() - alone.log() + gate + (confidence - alone) ** 2
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)


def test_the_confidence_of_dynamics_does_not_pull_at_what_it_predicts(by_hand: Dynamics) -> None:
    """The head's gradient is that of its own classification alone."""
    row, here, first = torch.tensor([[[2.0]]]), torch.tensor([[True]]), torch.tensor([[1.0, 0.0]])
    by_hand.train().loss(row, here, torch.ones(1, 1), first, 0.0).backward()
    gated = torch.sigmoid(torch.tensor(2.0)) * 2
    grad = find_linear(by_hand, "heads.0.linear").bias.grad
    assert grad is not None
    assert grad[0].item() == pytest.approx(torch.sigmoid(gated).item() - 1)


def test_the_weights_of_dynamics_are_shares_of_the_confidences(embeddings: Any) -> None:
    fusion = built("dynamics").eval()
    fused = fusion(embeddings, PRESENCE)
    assert fused.confidences is not None
    second, third = fused.confidences[1, 1:].tolist()
    expected = [0.0, second / (second + third), third / (second + third)]
    assert fused.weights[1].tolist() == pytest.approx(expected)


@pytest.mark.parametrize("fusion", ["uniform", *FUSIONS])
def test_every_fusion_is_trained_exported_and_served(
    fusion: str, leaves_in: Any, trained_by: Any, tmp_path: Path
) -> None:
    overrides = (f"network.fusion={fusion}", "training.epochs=2", "network.width=8")
    done = trained_by(leaves_in(tmp_path), tmp_path / "run", *overrides)
    assert max(read_manifest(done.bundle).parity.values()) <= TOLERANCE  # of every subset
    assert {stage.name for stage in done.run.glob("*.csv")} == (
        {"final.csv", "fold-0.csv", "fold-1.csv"} if fusion == "uniform" else {"final.csv"}
    )
    example = make_example(done.dataset.test, 5)
    runtime = open_bundle(done.bundle).runtime
    for subset in subsets(example.modalities):
        part = example.only(subset)
        output, presence = runtime.run(part.batch()), part.presence()
        np.testing.assert_allclose(output.weights.sum(1), 1.0, atol=1e-5)
        np.testing.assert_allclose(output.probabilities.sum(1), 1.0, atol=1e-5)
        assert (output.weights[~presence] == 0).all()
        assert (output.confidences[~presence] == 0).all()
        assert ((output.confidences[presence] > 0) & (output.confidences[presence] <= 1)).all()
