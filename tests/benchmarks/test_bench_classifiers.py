"""Classifiers that are no networks."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tailfuse.data.split_arrays import Dataset, SplitArrays
from tailfuse_bench.classifiers import fit_classifiers, stack_columns
from tailfuse_bench.methods import EXTRA_TREES, LOGISTIC, TREES
from tailfuse_service.bundle.manifest import ClassInfo, Shot

SIZES = (80, 40, 20)
SHOTS: tuple[Shot, ...] = ("many", "medium", "few")


def make_split_arrays(random: np.random.Generator, sizes: tuple[int, ...]) -> SplitArrays:
    """Three classes; `far` tells them apart well, `near` hardly. Every tenth row has only one of the two."""
    labels = np.repeat(np.arange(3), sizes)
    far = random.normal(size=(len(labels), 2)) + 4 * np.stack([labels == 1, labels == 2], axis=1)
    near = random.normal(size=(len(labels), 3, 1)) + labels[:, None, None]
    at = np.arange(len(labels))
    inputs = {"far": far.astype(np.float32), "near": near.astype(np.float32)}
    return SplitArrays(
        inputs, {"far": np.where(at % 20, at, -1), "near": np.where(at % 20 == 10, -1, at)}, labels
    )


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    random = np.random.default_rng(0)
    train, val, test = (make_split_arrays(random, sizes) for sizes in (SIZES, (8, 4, 2), (30, 30, 30)))
    classes = tuple(
        ClassInfo(name=name, train_count=count, shot=shot)
        for name, count, shot in zip("abc", SIZES, SHOTS, strict=True)
    )
    return Dataset(classes, {}, train, val, test, np.arange(sum(SIZES)))


@pytest.mark.parametrize("method", [LOGISTIC, TREES, EXTRA_TREES])
def test_all_modalities_and_each_alone_are_answered(dataset: Any, method: str) -> None:
    run = fit_classifiers(method, dataset)
    test = dataset.test
    right = {}
    for subset in (("far", "near"), ("far",), ("near",)):
        rows = test.only(subset)
        output = run(rows.batch())
        np.testing.assert_allclose(output.probabilities.sum(axis=1), 1, rtol=1e-5)
        assert np.isnan(output.weights).all()
        right[subset] = (output.probabilities.argmax(axis=1) == rows.labels).mean()
    assert right["far", "near"] > 0.9
    assert right["far",] > 0.9 > right["near",] > 0.4


@pytest.mark.parametrize("method", [LOGISTIC, TREES, EXTRA_TREES])
def test_a_class_whose_training_rows_have_no_modality_is_never_answered(dataset: Any, method: str) -> None:
    train = dataset.train.keep(dataset.train.labels != 2)
    run = fit_classifiers(method, replace(dataset, train=train))
    probabilities = run(dataset.test.batch()).probabilities
    assert probabilities.shape == (90, 3)
    assert not probabilities[:, 2].any()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)


def test_rows_with_some_modalities_are_answered_as_when_asked_alone(dataset: Any) -> None:
    run = fit_classifiers(LOGISTIC, dataset)
    mixed, alone = run(dataset.test.batch()), run(dataset.test.take(np.array([20])).batch())
    np.testing.assert_allclose(mixed.probabilities[20], alone.probabilities[0], rtol=1e-6)


def test_an_absent_modality_is_its_mean(dataset: Any) -> None:
    wide = stack_columns(dataset.test.batch(), ("far", "near"))
    assert wide.shape == (90, 5)
    assert wide[0].tolist()[:2] == [0, 0]
    assert wide[10].tolist()[2:] == [0, 0, 0]


def test_a_linear_model_has_a_weight_for_each_column_and_class(dataset: Any) -> None:
    assert fit_classifiers(LOGISTIC, dataset).parameters == 3 * (5 + 1)
    assert fit_classifiers(TREES, dataset).parameters is None


def test_extra_trees_answer_as_if_all_classes_were_equally_frequent(dataset: Any) -> None:
    """Where columns say nothing, the answer is uniform and not that of the most frequent class."""
    labels = dataset.train.labels
    blank = {"far": np.zeros((len(labels), 2), np.float32)}
    train = SplitArrays(blank, {"far": np.arange(len(labels))}, labels)
    forest = fit_classifiers(EXTRA_TREES, replace(dataset, train=train, val=train, test=train))
    np.testing.assert_allclose(forest(train.batch()).probabilities, 1 / 3, atol=0.05)
    assert forest.parameters is None
