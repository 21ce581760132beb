"""What is fitted on held-out rows: prototypes, confidences, fusion."""

import copy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from model.data.part import Part
from model.network.encoders.mlp import Mlp
from model.network.long_tail import experts
from model.network.network import Network
from model.training.damage import damage
from model.training.held_out import (
    HeldOut,
    answers,
    balanced_loss,
    class_by_class,
    fit_confidence,
    fit_fusion,
    gather,
    set_prototypes,
    thin,
    thinned,
)
from service.bundle.manifest import BooleanColumn, TabularModality

CPU = torch.device("cpu")
TWO_NUMBERS = TabularModality(columns=(BooleanColumn(name="a"), BooleanColumn(name="b")), width=2)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def part_of(labels: list[int]) -> Part:
    """Rows with one modality, whose numbers are the row's and the label's."""
    codes = np.array(labels)
    inputs = {"one": np.stack([np.arange(len(codes)), codes], 1).astype(np.float32)}
    return Part(inputs, {"one": np.arange(len(codes))}, codes)


def network_of(n_classes: int = 2, *names: str) -> Network:
    torch.manual_seed(0)
    names = names or ("one",)
    return Network(
        {name: Mlp(TWO_NUMBERS, width=8, dropout=0.0, input_dropout=0.0) for name in names},
        width=8, n_classes=n_classes, tail=experts(torch.ones(n_classes), (0.0, 1.0)), dropout=0.0,
        n_prototypes=dict.fromkeys(names, 4),
    ).eval()  # fmt: skip


def test_every_prefix_holds_the_classes_as_evenly_as_can_be() -> None:
    part = class_by_class(part_of([0, 0, 0, 0, 0, 1, 1, 2]))
    assert part.labels.tolist() == [0, 1, 2, 0, 1, 0, 0, 0]
    assert len(part.first(4)) == 4


@settings(deadline=None)
@given(
    rows=st.lists(st.lists(st.booleans(), min_size=4, max_size=4).filter(any), min_size=1, max_size=20),
    seed=st.integers(0, 9),
)
def test_thinned_rows_keep_a_part_of_what_they_had(rows, seed: int) -> None:
    presence = torch.tensor(rows)
    kept = thin(presence, generator(seed))
    assert (kept <= presence).all()
    assert kept.any(1).all()


def test_every_number_of_modalities_is_kept_equally_often() -> None:
    kept = thin(torch.ones(6000, 3, dtype=torch.bool), generator()).sum(1)
    shares = torch.bincount(kept, minlength=4) / 6000
    assert shares.tolist() == pytest.approx([0, 1 / 3, 1 / 3, 1 / 3], abs=0.02)


def test_prototypes_are_embeddings_of_training_rows_of_every_class() -> None:
    network, train = network_of(3), part_of([0] * 20 + [1, 2])
    set_prototypes(network, train, CPU)
    with torch.no_grad():
        embeddings = network.encode_one("one", torch.from_numpy(train.inputs["one"])).embedding
    nearest = torch.cdist(network.confidence("one").prototypes, embeddings)
    assert nearest.min(1).values.max() < 1e-5
    assert sorted(train.labels[nearest.argmin(1)].tolist()) == [0, 0, 1, 2]


def test_few_rows_are_prototypes_several_times_and_no_rows_none() -> None:
    network, train = network_of(2), part_of([0, 1])
    set_prototypes(network, train, CPU)
    prototypes = network.confidence("one").prototypes
    assert torch.equal(prototypes[:2], prototypes[2:])
    set_prototypes(network, train.take(np.array([], np.int64)), CPU)
    assert torch.equal(prototypes, network.confidence("one").prototypes)


def test_evidence_is_of_clean_and_damaged_rows_with_classes_alike() -> None:
    network, part = network_of(), part_of([0] * 9 + [1])
    evidence = gather(HeldOut(network, part), "one", TWO_NUMBERS, generator(), CPU)
    assert evidence.statistics.shape[0] == 20
    assert ((evidence.target >= 0) & (evidence.target <= 1)).all()
    assert float(evidence.weight.mean()) == pytest.approx(1.0)
    rare = torch.from_numpy(np.tile(part.labels, 2) == 1)
    assert float(evidence.weight[rare].sum()) == pytest.approx(float(evidence.weight[~rare].sum()))


def test_nothing_held_out_is_no_evidence_and_changes_no_confidence() -> None:
    network, nothing = network_of(), part_of([0, 1]).take(np.array([], np.int64))
    before = copy.deepcopy(network.state_dict())
    fit_confidence(network, [HeldOut(network, nothing)], {"one": TWO_NUMBERS}, seed=0, device=CPU)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_a_modality_that_no_held_out_row_has_is_trusted_alike() -> None:
    network, part = network_of(2, "one", "two"), part_of([0, 1] * 5)
    part = Part(
        {**part.inputs, "two": np.zeros((0, 2), np.float32)},
        {**part.position, "two": np.full(10, -1)},
        part.labels,
    )
    held_out = [HeldOut(network, part)]
    fit_confidence(network, held_out, dict.fromkeys(("one", "two"), TWO_NUMBERS), seed=0, device=CPU)
    fit_fusion(network, held_out, seed=0, device=CPU)
    embedding, logits = network.encode_one("two", torch.randn(3, 2))
    assert network.confidence("two").score(embedding, logits).tolist() == [0.0] * 3
    assert all(p.isfinite().all() for p in network.parameters())


@pytest.fixture(scope="module")
def held_out(trained) -> list[HeldOut]:
    return [HeldOut(trained.network, trained.dataset.val)]


@torch.no_grad()
def test_damaged_pictures_are_trusted_less_than_clean_ones(trained) -> None:
    part = trained.dataset.test.only(["picture"])
    pictures = torch.from_numpy(part.inputs["picture"][part.position["picture"]])
    broken = damage(pictures, trained.dataset.modalities["picture"], generator())
    network, confidence = trained.network, trained.network.confidence("picture")
    clean, damaged = (
        confidence.score(*network.encode_one("picture", rows)).sigmoid().mean() for rows in (pictures, broken)
    )
    assert clean > damaged + 0.05


def test_fitting_the_fusion_lowers_the_loss_of_held_out_rows_and_touches_nothing_else(
    trained, held_out
) -> None:
    network = copy.deepcopy(trained.network)
    for parameter in network.fusion.parameters():
        torch.nn.init.constant_(parameter, 0.5413)
    before = copy.deepcopy(network.state_dict())
    seen = thinned(answers(network, held_out[0], CPU), generator(7))
    with torch.no_grad():
        loss = balanced_loss(network.fusion, seen)
    fit_fusion(network, held_out, seed=0, device=CPU)
    with torch.no_grad():
        assert balanced_loss(network.fusion, seen) < loss
    for name, value in network.state_dict().items():
        assert name.startswith("fusion.") != torch.equal(value, before[name])


def test_rows_are_thinned_several_times_over(trained, held_out) -> None:
    whole = answers(trained.network, held_out[0], CPU)
    seen = thinned(whole, generator(), times=3)
    n = len(whole.labels)
    assert len(seen.labels) == 3 * n
    assert torch.equal(seen.votes[n : 2 * n], whole.votes)
    assert not torch.equal(seen.presence[:n], seen.presence[n : 2 * n])
    assert (seen.presence <= whole.presence.repeat(3, 1)).all()


def test_fitting_twice_gives_the_same(trained, held_out) -> None:
    def fitted() -> dict[str, torch.Tensor]:
        network = copy.deepcopy(trained.network)
        fit_confidence(network, held_out, trained.dataset.modalities, seed=1, device=CPU)
        fit_fusion(network, held_out, seed=1, device=CPU)
        return network.state_dict()

    first, again = fitted(), fitted()
    assert all(torch.equal(value, again[name]) for name, value in first.items())
