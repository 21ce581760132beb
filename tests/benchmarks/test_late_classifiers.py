"""Classifiers of single modalities whose log-probabilities are added."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from tailfuse.data.split_arrays import Dataset, SplitArrays
from tailfuse_bench.late_classifiers import fit_late_classifiers, fit_shares
from tailfuse_bench.rivals.runner.late_fusion import fuse
from tailfuse_service.bundle.manifest import ClassInfo


def make_rows(sizes: tuple[int, ...], seed: int) -> SplitArrays:
    """`good` tells three classes apart, `bad` is noise. Every fifth row lacks `good`."""
    random = np.random.default_rng(seed)
    labels = np.repeat(np.arange(3), sizes)
    good = 2.0 * np.eye(3)[labels] + random.normal(size=(len(labels), 3))
    bad = random.normal(size=(len(labels), 8))
    at = np.arange(len(labels))
    return SplitArrays(
        {"good": good.astype(np.float32), "bad": bad.astype(np.float32)},
        {"good": np.where(at % 5, at, -1), "bad": at},
        labels,
    )


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    train, val, test = (
        make_rows(sizes, seed) for seed, sizes in enumerate(((60, 30, 10), (20, 15, 10), (40, 40, 40)))
    )
    classes = tuple(
        ClassInfo(name=name, train_count=n, shot="many") for name, n in zip("abc", (60, 30, 10), strict=True)
    )
    return Dataset(classes, {}, train, val, test, np.arange(100))


def test_log_probabilities_are_added_by_hand() -> None:
    stacked = np.log([[[0.5, 0.5], [0.9, 0.1]]])
    both = fuse(stacked, np.array([1.0, 2.0]), np.array([[True, True]]))
    np.testing.assert_allclose(np.exp(both), [[0.81 / 0.82, 0.01 / 0.82]])
    alone = fuse(stacked, np.array([1.0, 2.0]), np.array([[True, False]]))
    np.testing.assert_allclose(np.exp(alone), [[0.5, 0.5]])


class Certain:
    """A classifier whose answer is its column: the probability of the second of two classes."""

    classes_ = np.arange(2)

    def predict_proba(self, columns: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.concatenate([1 - columns, columns], axis=1)


def test_a_modality_that_is_too_sure_of_itself_gets_a_small_share() -> None:
    """Both are right in three rows of four; one says 75 %, the other 99.9 %."""
    labels = np.array([1, 1, 1, 0] * 5)
    columns = {"honest": np.full((20, 1), 0.75), "sure": np.full((20, 1), 0.999)}
    labels = np.concatenate([labels, 1 - labels])
    columns = {name: np.concatenate([each, 1 - each]) for name, each in columns.items()}
    at = np.arange(40)
    for name in columns:
        rows = SplitArrays(
            columns, {each: at if each == name else np.full(40, -1) for each in columns}, labels
        )
        shares = fit_shares({"honest": Certain(), "sure": Certain()}, rows, 2)
        expected = 1.0 if name == "honest" else np.log(3) / np.log(999)
        assert shares[list(columns).index(name)] == pytest.approx(expected, rel=0.01)


def test_every_row_is_answered_and_the_good_modality_decides(dataset: Dataset) -> None:
    late = fit_late_classifiers(dataset)
    assert late.parameters == 3 * (3 + 1) + 3 * (8 + 1) + 2
    output = late(dataset.test.batch())
    np.testing.assert_allclose(output.probabilities.sum(axis=1), 1, rtol=1e-5)
    has_good = dataset.test.batch().presence[:, 0]
    right = output.probabilities.argmax(1) == dataset.test.labels
    assert right[has_good].mean() > 0.7
    assert np.isnan(output.weights).all()


def test_without_validation_rows_all_shares_are_one(dataset: Dataset) -> None:
    late = fit_late_classifiers(replace(dataset, val=dataset.val.take(np.array([], int))))
    assert late.shares.tolist() == [1.0, 1.0]


def test_answers_that_are_all_worse_than_a_guess_are_answers_still() -> None:
    labels = np.array([0, 1] * 10)
    columns = {"wrong": np.where(labels[:, None], 0.1, 0.9)}
    rows = SplitArrays(columns, {"wrong": np.arange(20)}, labels)
    assert fit_shares({"wrong": Certain()}, rows, 2).tolist() == [1.0]
