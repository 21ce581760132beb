"""The training loss, and the random choices behind it."""

from math import log
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tailfuse.losses.imbalance import make_expert_loss
from tailfuse.modalities.tabular.encoder import Mlp
from tailfuse.network.network import Network
from tailfuse.training.objective import Draw, Objective, blend, draw
from tailfuse_service.modalities import TabularModality
from tailfuse_service.modalities.tabular import BooleanColumn

PRESENCES = st.lists(
    st.lists(st.booleans(), min_size=3, max_size=3).filter(any), min_size=1, max_size=20
).map(torch.tensor)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@given(presence=PRESENCES, seed=st.integers(0, 20))
def test_a_draw_is_in_bounds_and_leaves_every_sample_something(presence: Any, seed: int) -> None:
    u, partner, share = draw(presence, dropout=0.7, mixup=0.5, generator=generator(seed))
    assert ((u >= 0) & (u <= 1)).all()
    assert (u[~presence] == 0).all()
    assert (u.max(1).values == 1).all()
    assert sorted(partner.tolist()) == list(range(len(presence)))
    assert (presence[partner] == presence).all()
    assert 0.5 <= float(share) <= 1


def test_partners_are_drawn_anew() -> None:
    presence = torch.tensor([[True, True], [True, False]] * 20)
    draws = [draw(presence, dropout=0.0, mixup=0.5, generator=generator(seed)).partner for seed in range(3)]
    assert len({tuple(each.tolist()) for each in draws}) == 3
    # Each sample's partner is nearly always another one.
    assert all((each == torch.arange(40)).sum() < 8 for each in draws)


def test_the_same_seed_draws_the_same() -> None:
    presence = torch.ones(8, 3, dtype=torch.bool)
    first, again = (draw(presence, dropout=0.5, mixup=0.5, generator=generator(4)) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))


def test_dropout_and_mixup_can_be_off() -> None:
    presence = torch.tensor([[True, False], [True, True]])
    u, _, share = draw(presence, dropout=0.0, mixup=0.0, generator=generator())
    assert torch.equal(u, presence.float())
    assert float(share) == 1.0


def test_dropout_thins_about_as_many_rows_as_it_says() -> None:
    presence = torch.ones(4000, 2, dtype=torch.bool)
    u = draw(presence, dropout=0.4, mixup=0.0, generator=generator()).u
    # Of the thinned rows a quarter keep both modalities whole: one is always kept, the other half the time,
    # and whole half of these times.
    assert float((u < 1).any(1).float().mean()) == pytest.approx(0.4 * 0.75, abs=0.03)


def test_blending_by_hand() -> None:
    values = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    mixed = blend(values, torch.tensor([1, 0]), torch.tensor(0.75))
    assert mixed.tolist() == [[0.75, 0.25], [0.25, 0.75]]


def objective() -> Objective:
    """Undecided experts, tau 0 and 1, on two modalities, with a prior of 3 to 1."""
    modality = TabularModality(columns=(BooleanColumn(name="a"), BooleanColumn(name="b")), width=2)
    network = Network(
        {name: Mlp(modality, width=4, dropout=0.0, input_dropout=0.0) for name in ("one", "two")},
        width=4, n_classes=2, loss_fn=make_expert_loss(torch.tensor([3, 1]), (0.0, 1.0)), dropout=0.0,
    )  # fmt: skip
    for head in (*network.heads, network.joint.head):
        torch.nn.init.zeros_(head.linear.weight)
        torch.nn.init.zeros_(head.linear.bias)
    return Objective(network)


def no_mixing(presence: torch.Tensor) -> Draw:
    return Draw(presence.float(), torch.arange(len(presence)), torch.tensor(1.0))


def test_the_loss_by_hand() -> None:
    # First class: tau 0 gives ln 2, tau 1 ln 4/3; second class: ln 2 and ln 4.
    first, second = (log(2) + log(4 / 3)) / 2, (log(2) + log(4)) / 2
    rows = {"one": torch.tensor([0, 1]), "two": torch.tensor([1])}  # the first sample lacks `two`
    inputs = {name: torch.randn(len(at), 2) for name, at in rows.items()}
    presence = torch.tensor([[True, False], [True, True]])
    loss = objective()(inputs, rows, presence, torch.tensor([0, 1]), no_mixing(presence), 0.0)
    joint, one, two = (first + second) / 2, (first + second) / 2, second
    assert loss.item() == pytest.approx(joint + one + two)


def test_the_loss_of_a_modality_nobody_has_is_zero() -> None:
    rows = {"one": torch.tensor([0, 1]), "two": torch.zeros(0, dtype=torch.int64)}
    inputs = {"one": torch.randn(2, 2), "two": torch.zeros(0, 2)}
    presence = torch.tensor([[True, False], [True, False]])
    loss = objective()(inputs, rows, presence, torch.tensor([0, 0]), no_mixing(presence), 0.0)
    assert loss.item() == pytest.approx(2 * (log(2) + log(4 / 3)) / 2)


def test_a_mixed_sample_is_its_share_of_both_labels() -> None:
    rows = {name: torch.tensor([0, 1]) for name in ("one", "two")}
    inputs = {name: torch.randn(2, 2) for name in rows}
    drawn = Draw(torch.ones(2, 2), torch.tensor([1, 0]), torch.tensor(0.75))
    loss = objective()(inputs, rows, drawn.u > 0, torch.tensor([0, 1]), drawn, 0.0)
    # Undecided experts lose the same on a mix of targets as on the targets themselves, mixed.
    first, second = (log(2) + log(4 / 3)) / 2, (log(2) + log(4)) / 2
    assert loss.item() == pytest.approx(3 * (first + second) / 2)


def test_every_trained_weight_gets_a_gradient() -> None:
    wrapped = objective()
    rows = {"one": torch.tensor([0, 1]), "two": torch.zeros(0, dtype=torch.int64)}
    inputs = {"one": torch.randn(2, 2), "two": torch.zeros(0, 2)}
    presence = torch.tensor([[True, False]] * 2)
    wrapped(inputs, rows, presence, torch.tensor([0, 1]), no_mixing(presence), 0.0).backward()
    without = {name for name, p in wrapped.network.named_parameters() if p.grad is None}
    fitted = ("confidences.", "conflict.", "fusion.", "linear_experts.")  # later, and not by gradients
    assert all(name.startswith(fitted) for name in without)
