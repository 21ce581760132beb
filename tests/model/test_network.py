"""Properties of the network's answers, by eager torch and by both exported graphs."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tailfuse.data.split_arrays import SplitArrays
from tailfuse.export.graphs import make_example, run_eagerly
from tailfuse.losses.imbalance import make_expert_loss
from tailfuse.modalities.tabular.encoder import Mlp
from tailfuse.network.network import Network
from tailfuse.network.ragged import scatter
from tailfuse_service.bundle import GRAPHS, OUTPUT_NAMES, Batch, Output, open_graph, read_manifest
from tailfuse_service.modalities import TabularModality
from tailfuse_service.modalities.tabular import BooleanColumn

from tests.support.known import known

N_ROWS = 12
# Which rows are in a batch, and the modalities each has of the three (1..7, as bits).
BATCHES = st.lists(st.tuples(st.integers(0, N_ROWS - 1), st.integers(1, 7)), min_size=1, max_size=9)
some_examples = settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module", params=["eager", "onnx", "torchscript"])
def answer(request: pytest.FixtureRequest, trained: Any) -> Callable[[Batch], Output]:
    """Answers a batch with the trained network, in one of the ways there are."""
    if request.param == "eager":
        return partial(run_eagerly, trained.network)
    return open_graph(
        trained.bundle / GRAPHS[request.param], read_manifest(trained.bundle), runtime=request.param
    ).run


@pytest.fixture(scope="module")
def rows(trained: Any) -> SplitArrays:
    """Test rows that have every modality."""
    return make_example(trained.dataset.test, N_ROWS)


def make_batch(rows: SplitArrays, chosen: list[tuple[int, int]]) -> Batch:
    """The chosen rows, each with the modalities its bits name."""
    part = rows.take(np.array([row for row, _ in chosen]))
    bits = np.array([bits for _, bits in chosen])
    position = {
        name: np.where(bits >> m & 1, part.position[name], -1) for m, name in enumerate(part.modalities)
    }
    return SplitArrays(part.inputs, position, part.labels).batch()


def assert_alike(one: Output, other: Output) -> None:
    for field in OUTPUT_NAMES:
        np.testing.assert_allclose(getattr(one, field), getattr(other, field), atol=1e-5, rtol=0)


def make_row(output: Output, at: int) -> Output:
    return Output(*(getattr(output, field)[at : at + 1] for field in OUTPUT_NAMES))


@some_examples
@given(chosen=BATCHES)
def test_weights_sum_to_one_over_what_is_present_and_are_zero_elsewhere(
    answer: Any, rows: Any, chosen: Any
) -> None:
    batch = make_batch(rows, chosen)
    output, presence = answer(batch), batch.presence
    np.testing.assert_allclose(output.weights.sum(1), 1.0, atol=1e-5)
    np.testing.assert_allclose(output.probabilities.sum(1), 1.0, atol=1e-5)
    assert (output.weights[~presence] == 0).all()
    assert (output.confidences[~presence] == 0).all()
    assert (output.weights[presence] > 0).all()
    assert ((output.confidences[presence] > 0) & (output.confidences[presence] < 1)).all()


@some_examples
@given(chosen=BATCHES)
def test_a_row_has_the_same_answer_alone_and_beside_any_neighbours(
    answer: Any, rows: Any, chosen: Any
) -> None:
    together = answer(make_batch(rows, chosen))
    for at, each in enumerate(chosen):
        assert_alike(make_row(together, at), answer(make_batch(rows, [each])))


@some_examples
@given(chosen=BATCHES, seed=st.integers(0, 100))
def test_answers_follow_their_rows_in_any_order(answer: Any, rows: Any, chosen: Any, seed: int) -> None:
    order = np.random.default_rng(seed).permutation(len(chosen))
    shuffled = answer(make_batch(rows, [chosen[at] for at in order]))
    together = answer(make_batch(rows, chosen))
    assert_alike(shuffled, Output(*(getattr(together, field)[order] for field in OUTPUT_NAMES)))


@some_examples
@given(chosen=BATCHES)
def test_an_absent_modality_is_one_left_out(answer: Any, rows: Any, chosen: Any) -> None:
    """Rows of a batch without a modality, and a batch in which nobody has it."""
    alike = [(row, bits & 0b011 or 0b001) for row, bits in chosen]
    with_others = answer(make_batch(rows, [*alike, (0, 0b111)]))
    without = answer(make_batch(rows, alike))
    for at in range(len(alike)):
        assert_alike(make_row(with_others, at), make_row(without, at))


def test_all_ways_answer_alike(trained: Any, rows: Any) -> None:
    batch = make_batch(rows, [(row, 1 + row % 7) for row in range(N_ROWS)])
    expected = run_eagerly(trained.network, batch)
    for runtime in ("onnx", "torchscript"):
        graph = open_graph(trained.bundle / GRAPHS[runtime], read_manifest(trained.bundle), runtime=runtime)
        assert_alike(graph.run(batch), expected)


def test_the_answer_depends_on_every_modality(trained: Any, rows: Any) -> None:
    whole = run_eagerly(trained.network, rows.batch()).probabilities
    for m in range(3):
        others = make_batch(rows, [(row, 7 - (1 << m)) for row in range(N_ROWS)])
        assert np.abs(run_eagerly(trained.network, others).probabilities - whole).max() > 1e-3


def test_padding_of_a_neighbours_longer_text_changes_nothing(answer: Any, rows: Any) -> None:
    batch = rows.first(3).batch()
    padded = np.pad(batch.inputs["note"], ((0, 0), (0, 11), (0, 0)))
    longer = Batch({**batch.inputs, "note": padded}, batch.rows, batch.presence)
    assert_alike(answer(longer), answer(batch))


def tiny() -> Network:
    modality = TabularModality(columns=(BooleanColumn(name="a"), BooleanColumn(name="b")), width=2)
    return Network(
        {name: Mlp(modality, width=4, dropout=0.5, input_dropout=0.2) for name in ("one", "two")},
        width=4, n_classes=2, loss_fn=make_expert_loss(torch.ones(2), (0.0, 1.0)), dropout=0.5,
    )  # fmt: skip


def test_rows_are_laid_at_their_samples() -> None:
    slots = scatter(torch.tensor([[1.0], [2.0], [3.0]]), [torch.tensor([2, 0]), torch.tensor([1])], 3)
    assert slots.squeeze(-1).tolist() == [[2.0, 0.0], [0.0, 3.0], [1.0, 0.0]]


def test_in_training_a_modality_without_rows_has_a_gradient_of_zero_everywhere() -> None:
    network = tiny().train()
    one, two = network.encode("one", torch.randn(5, 2)), network.encode("two", torch.zeros(0, 2))
    assert two.embedding.shape == (0, 4)
    (one.logits.sum() + two.logits.sum()).backward()
    assert all((known(p.grad) == 0).all() for p in network.encoders[1].parameters())
    assert any((known(p.grad) != 0).any() for p in network.encoders[0].parameters())
