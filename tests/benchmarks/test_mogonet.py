"""MOGONET: graphs of the samples, one for each modality, and products of class probabilities."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tailfuse.data.split_arrays import Dataset, SplitArrays
from tailfuse_bench import mogonet
from tailfuse_bench.methods import METHODS, MOGONET
from tailfuse_bench.mogonet import fit_mogonet, make_graph, multiply, normalise
from tailfuse_bench.run import select_applicable
from tailfuse_bench.tasks import Experiment
from tailfuse_service.bundle.manifest import ClassInfo


def make_rows(n: int, seed: int) -> SplitArrays:
    """`good` tells two classes apart by direction, `bad` is noise."""
    random = np.random.default_rng(seed)
    labels = (np.arange(n) % 4 == 0).astype(np.int64)
    good = 2.0 * np.eye(2, 6)[labels] + random.normal(size=(n, 6))
    inputs = {"good": good.astype(np.float32), "bad": random.normal(size=(n, 5)).astype(np.float32)}
    return SplitArrays(inputs, {name: np.arange(n) for name in inputs}, labels)


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    classes = tuple(ClassInfo(name=name, train_count=n, shot="many") for name, n in (("a", 60), ("b", 20)))
    train, val, test = make_rows(80, 0), make_rows(40, 1), make_rows(60, 2)
    return Dataset(classes, {}, train, val, test, np.arange(80))


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mogonet, "ALONE_EPOCHS", 30)
    monkeypatch.setattr(mogonet, "JOINT_EPOCHS", 60)
    monkeypatch.setattr(mogonet, "EDGES", (2, 10))


def test_a_sample_has_so_many_edges_on_average_and_none_to_itself() -> None:
    rows = torch.randn(40, 6, generator=torch.Generator().manual_seed(0))
    graph = make_graph(rows, 4)
    assert int((graph.adjacency > 0).sum()) == 160
    assert not graph.adjacency.diagonal().any()
    torch.testing.assert_close(graph.adjacency, graph.adjacency.T)
    assert graph.adjacency[graph.adjacency > 0].min() == pytest.approx(graph.threshold)


def test_the_adjacency_is_divided_by_the_roots_of_both_degrees() -> None:
    expected = torch.tensor([[1 / 1.5, 0.5 / 1.5, 0.0], [0.5 / 1.5, 1 / 1.5, 0.0], [0.0, 0.0, 1.0]])
    given = torch.tensor([[0.0, 0.5, 0.0], [0.5, 0.0, 0.0], [0.0, 0.0, 0.0]])
    torch.testing.assert_close(normalise(given), expected)


def test_other_rows_have_edges_to_training_rows_only() -> None:
    rows = torch.eye(3)
    graph = make_graph(rows + 0.1, 2)
    extended, adjacency = graph.extend(torch.tensor([[1.0, 0.1, 0.1], [1.0, 0.1, 0.1]]))
    assert extended.shape == (5, 3)
    assert adjacency[3, 4] == 0
    assert adjacency[3, 0] > adjacency[3, 1] >= 0


def test_products_are_of_every_combination_of_classes() -> None:
    product = multiply(torch.tensor([[[0.25, 0.75], [0.5, 0.5], [1.0, 0.0]]]))
    assert product.tolist() == [[0.125, 0, 0.125, 0, 0.375, 0, 0.375, 0]]


def test_it_answers_all_modalities_each_alone_and_rows_that_lack_one(dataset: Dataset) -> None:
    fitted = fit_mogonet(dataset, 0)
    assert fitted.parameters > 1000
    right = {}
    for subset in (("good", "bad"), ("good",), ("bad",)):
        output = fitted(dataset.test.only(subset).batch())
        np.testing.assert_allclose(output.probabilities.sum(axis=1), 1, rtol=1e-5)
        assert np.isnan(output.weights).all()
        right[subset] = [
            (output.probabilities.argmax(1) == label)[dataset.test.labels == label].mean() for label in (0, 1)
        ]
    assert np.mean(right["good", "bad"]) > 0.75
    assert np.mean(right["good",]) > 0.75 > np.mean(right["bad",])


def test_the_same_seed_gives_the_same_answers(dataset: Dataset) -> None:
    one, other = (fit_mogonet(dataset, 3)(dataset.test.batch()).probabilities for _ in range(2))
    np.testing.assert_array_equal(one, other)


def test_it_runs_on_rosmap_only_and_trains_apart() -> None:
    for name, expected in (("rosmap", [MOGONET]), ("pie", [])):
        assert select_applicable([MOGONET], Experiment(name, 10, 0, 0), Path(name)) == expected
    assert METHODS[MOGONET].training_key == MOGONET
