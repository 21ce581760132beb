"""The moving average of a network's weights."""

import copy

import pytest
import torch
from tailfuse.losses.imbalance import make_expert_loss
from tailfuse.network.baselines.fused import Baseline
from tailfuse.network.baselines.late import Late
from tailfuse.training.average import Average
from torch import nn

from tests.support.known import known


def network() -> Baseline:
    loss_fn = make_expert_loss(torch.ones(2), (0.0,))
    encoder = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    return Baseline({"one": encoder}, n_classes=2, loss_fn=loss_fn, fusion=Late(1, 4, loss_fn, 2, 0.0))


def layers(network: nn.Module) -> tuple[nn.Linear, nn.BatchNorm1d]:
    """Those of its encoder."""
    linear, norm = (network.get_submodule(f"encoders.0.{at}") for at in (0, 1))
    assert isinstance(linear, nn.Linear)
    assert isinstance(norm, nn.BatchNorm1d)
    return linear, norm


def test_weights_and_running_statistics_are_averaged_by_hand() -> None:
    source = network()
    average = Average(source, decay=0.75)
    linear, norm = layers(source)
    with torch.no_grad():
        before = linear.weight.clone()
        linear.weight.add_(8.0)
        known(norm.running_mean).fill_(4.0)
    average.update()
    linear, norm = layers(average.network)
    torch.testing.assert_close(linear.weight, before + 2.0)
    assert known(norm.running_mean).tolist() == [1.0] * 4


def test_an_average_goes_on_from_a_state_that_was_loaded() -> None:
    source, other = network(), network()
    average = Average(source, decay=0.5)
    state = copy.deepcopy(other.state_dict())
    source.load_state_dict(state)
    average.network.load_state_dict(state)
    average.update()
    for name, value in average.network.state_dict().items():
        torch.testing.assert_close(value, state[name], msg=name)


def test_what_does_not_learn_is_left_alone_and_the_average_never_learns() -> None:
    source = network()
    linear, _ = layers(source)
    linear.requires_grad_(False)
    average = Average(source, decay=0.5)
    frozen = layers(average.network)[0].weight.clone()
    with torch.no_grad():
        linear.weight.add_(8.0)
    average.update()
    assert torch.equal(layers(average.network)[0].weight, frozen)
    assert not average.network.training
    assert not any(each.requires_grad for each in average.network.parameters())


@pytest.mark.parametrize("p", [0.0, 0.2, 0.9])
def test_dropout_keeps_the_mean_and_its_share(p: float) -> None:
    from tailfuse.modalities.dropout import Dropout

    torch.manual_seed(0)
    values, dropout = torch.ones(200, 500), Dropout(p)
    dropped = dropout(values)
    assert float((dropped == 0).float().mean()) == pytest.approx(p, abs=0.01)
    assert float(dropped.max()) == pytest.approx(1 / (1 - p))
    assert torch.equal(dropout.eval()(values), values)
