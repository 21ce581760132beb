"""The joint branch."""

import torch
from tailfuse.losses.imbalance import make_expert_loss
from tailfuse.network.joint import JointBranch


def branch(width: int = 4) -> JointBranch:
    torch.manual_seed(0)
    loss_fn = make_expert_loss(torch.ones(2), (0.0, 1.0, 2.0))
    return JointBranch(2, width, loss_fn, n_classes=2, dropout=0.5).eval()


def test_a_modality_that_is_out_leaves_the_token_alone() -> None:
    joint = branch()
    torch.nn.init.normal_(joint.missing)
    embeddings = torch.randn(1, 2, 4)
    other = embeddings.clone()
    other[0, 1] = torch.randn(4)
    without = torch.tensor([[1.0, 0.0]])
    torch.testing.assert_close(joint(embeddings, without), joint(other, without))
    assert not torch.allclose(joint(embeddings, torch.ones(1, 2)), joint(other, torch.ones(1, 2)))


def test_what_is_seen_is_a_linear_layer_on_the_concatenation_and_the_token_fills_up_what_is_not() -> None:
    joint = branch(width=2)
    joint.layers = torch.nn.Sequential()
    joint.project.data = torch.tensor([[[1.0, 0.0], [0.0, 2.0]], [[0.0, 3.0], [1.0, 0.0]]])
    joint.missing.data = torch.tensor([[10.0, 20.0], [30.0, 40.0]])
    embeddings = torch.tensor([[[1.0, 2.0], [3.0, 4.0]]])
    # V_1 h_1 = (1, 4) and V_2 h_2 = (4, 9)
    for u, expected in (((1.0, 1.0), (5.0, 13.0)), ((1.0, 0.0), (31.0, 44.0)), ((0.5, 1.0), (9.5, 21.0))):
        assert joint.compute_hidden(embeddings, torch.tensor([u]))[0].tolist() == list(expected)
