"""The fusion as it is fitted on held-out rows and random subsets of their modalities."""

import copy
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tailfuse.calibration.calibration_set import CalibrationRows, select_class
from tailfuse.calibration.fit_confidence import fit_confidence
from tailfuse.calibration.fit_fusion import (
    SUBSETS_PER_ROW,
    WHOLE_ROW_WEIGHT,
    add_subsets,
    fit_fusion,
    predict_joint,
)
from tailfuse.calibration.fusion_inputs import FusionInputs, compute_fusion_inputs, draw_subset
from tailfuse.network.fusion import Fusion
from tailfuse.network.network import Network
from tailfuse.network.tensors import make_tensors

CPU = torch.device("cpu")


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@given(
    rows=st.lists(st.lists(st.booleans(), min_size=4, max_size=4).filter(any), min_size=1, max_size=20),
    seed=st.integers(0, 9),
)
def test_thinned_rows_keep_a_part_of_what_they_had(rows: Any, seed: int) -> None:
    presence = torch.tensor(rows)
    kept = draw_subset(presence, generator(seed))
    assert (kept <= presence).all()
    assert kept.any(1).all()


def test_every_number_of_modalities_is_kept_equally_often() -> None:
    kept = draw_subset(torch.ones(6000, 3, dtype=torch.bool), generator()).sum(1)
    shares = torch.bincount(kept, minlength=4) / 6000
    assert shares.tolist() == pytest.approx([0, 1 / 3, 1 / 3, 1 / 3], abs=0.02)


@pytest.fixture(scope="module")
def calibration_set(trained: Any) -> list[CalibrationRows]:
    """The validation rows, and some that make do as another network's."""
    other = copy.deepcopy(trained.network)
    return [
        CalibrationRows(trained.network, trained.dataset.val),
        CalibrationRows(other, trained.dataset.test),
    ]


@torch.no_grad()
def test_what_the_fusion_is_given_makes_the_networks_own_answer(trained: Any, calibration_set: Any) -> None:
    network, part = calibration_set[0]
    inputs = compute_fusion_inputs(network, calibration_set[0], CPU)
    weighting = network.fusion.compute_weights(inputs.in_dist, inputs.correct, inputs.presence)
    log_p = network.fusion.fuse(
        inputs.posterior_logits, predict_joint(network, inputs), weighting, inputs.presence
    )
    expected = network(*make_tensors(part.batch()))
    torch.testing.assert_close(log_p.exp(), expected.probabilities, atol=1e-5, rtol=0)
    torch.testing.assert_close(weighting.weights, expected.weights, atol=1e-5, rtol=0)
    assert torch.equal(inputs.labels, torch.from_numpy(part.labels))


def test_every_row_comes_whole_and_with_some_subsets(trained: Any, calibration_set: Any) -> None:
    whole = compute_fusion_inputs(trained.network, calibration_set[0], CPU)
    inputs = add_subsets(whole, generator())
    n = len(whole.labels)
    assert len(inputs.labels) == (1 + SUBSETS_PER_ROW) * n
    assert torch.equal(inputs.presence[:n], whole.presence)
    torch.testing.assert_close(inputs.weight[:n], WHOLE_ROW_WEIGHT * whole.weight)
    for at in range(1, 1 + SUBSETS_PER_ROW):
        rows = slice(at * n, (at + 1) * n)
        assert torch.equal(inputs.posterior_logits[rows], whole.posterior_logits)
        assert torch.equal(inputs.weight[rows], whole.weight)
        assert (inputs.presence[rows] <= whole.presence).all()
        assert not torch.equal(inputs.presence[rows], whole.presence)


@torch.no_grad()
def compute_loss(network: Network, inputs: FusionInputs) -> float:
    """Weighted negative log-likelihood."""
    weighting = network.fusion.compute_weights(inputs.in_dist, inputs.correct, inputs.presence)
    log_p = network.fusion.fuse(
        inputs.posterior_logits, predict_joint(network, inputs), weighting, inputs.presence
    )
    return float(-(select_class(log_p, inputs.labels) * inputs.weight).sum() / inputs.weight.sum())


def unfitted(trained: Any) -> Network:
    """The network with a fusion that hardly listens to the votes: there is much to fit."""
    network: Network = copy.deepcopy(trained.network)
    network.fusion = Fusion(3).requires_grad_(False)
    network.fusion.log_kappa.fill_(-4.0)
    return network


def test_fitting_lowers_the_loss_of_held_out_rows_and_touches_nothing_else(
    trained: Any, calibration_set: Any
) -> None:
    network = unfitted(trained)
    before = copy.deepcopy(network.state_dict())
    inputs = [
        add_subsets(compute_fusion_inputs(network, each, CPU), generator(7)) for each in calibration_set
    ]
    with torch.no_grad():  # where the fit starts
        network.fusion.base_logits.copy_(network.posteriors.temperature.log())
    losses = [compute_loss(network, each) for each in inputs]
    fit_fusion(network, calibration_set, seed=0, device=CPU)
    assert sum(compute_loss(network, each) for each in inputs) < sum(losses) - 0.01
    assert not any(p.requires_grad for p in network.fusion.parameters())
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name]) != (name.startswith("fusion.") and name != "fusion.sizes"), (
            name
        )


def test_fitting_twice_gives_the_same_bytes(trained: Any, calibration_set: Any) -> None:
    def fitted() -> dict[str, bytes]:
        network = unfitted(trained)
        fit_confidence(
            network, calibration_set, trained.dataset.modalities, {},
            use_plda=True, corrupted=True, seed=1, device=CPU,
        )  # fmt: skip
        fit_fusion(network, calibration_set, seed=1, device=CPU)
        return {name: value.numpy().tobytes() for name, value in network.state_dict().items()}

    assert fitted() == fitted()


def test_the_global_random_numbers_are_left_alone(trained: Any, calibration_set: Any) -> None:
    network, state = unfitted(trained), torch.get_rng_state()
    fit_confidence(
        network,
        calibration_set,
        trained.dataset.modalities,
        {},
        use_plda=True,
        corrupted=True,
        seed=1,
        device=CPU,
    )
    fit_fusion(network, calibration_set, seed=1, device=CPU)
    assert torch.equal(torch.get_rng_state(), state)


def test_subsets_that_no_held_out_row_can_have_stay_as_they_were(trained: Any, calibration_set: Any) -> None:
    network = unfitted(trained)
    note = network.modalities.index("note")
    before = network.fusion.describe_calibration()["kappa"].clone()
    others = [CalibrationRows(each, part.only(["picture", "veins"])) for each, part in calibration_set]
    fit_fusion(network, others, seed=0, device=CPU)
    kappa = network.fusion.describe_calibration()["kappa"]
    with_note = (torch.arange(8) >> note & 1).bool()
    torch.testing.assert_close(kappa[with_note], before[with_note])
    assert not torch.allclose(kappa[~with_note][1:], before[~with_note][1:])
    assert all(p.isfinite().all() for p in network.fusion.parameters())


def test_uniform_weights_stay_uniform_and_are_calibrated_too(trained: Any, calibration_set: Any) -> None:
    network = unfitted(trained)
    network.fusion = Fusion(3, uniform=True).requires_grad_(False)
    fit_fusion(network, calibration_set, seed=0, device=CPU)
    answer = network(*make_tensors(trained.dataset.test.batch()))
    presence = torch.from_numpy(trained.dataset.test.presence())
    torch.testing.assert_close(answer.weights, presence / presence.sum(1, keepdim=True))
    assert network.fusion.log_kappa.ne(-4.0).any()
