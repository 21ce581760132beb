"""SMOTE: how many rows are made, of what, and between which."""

import sys
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tailfuse.data.split_arrays import SplitArrays
from tailfuse.errors import SpecError
from tailfuse.training.smote import oversample

LABELS = np.repeat([0, 1, 2], [9, 4, 2])


def make_part(
    labels: NDArray[np.int64], absent: dict[str, list[int]] | None = None, **inputs: NDArray[Any]
) -> SplitArrays:
    """A part whose modalities have every row but the absent ones."""
    rows, position = {}, {}
    for name, values in inputs.items():
        present = np.ones(len(labels), bool)
        present[(absent or {}).get(name, [])] = False
        rows[name] = values[present]
        position[name] = np.where(present, present.cumsum() - 1, -1)
    return SplitArrays(rows, position, labels)


def numbers(width: int, labels: NDArray[np.int64] = LABELS) -> NDArray[np.float32]:
    """Each class around its own number times ten."""
    noise = np.random.default_rng(width).normal(size=(len(labels), width))
    return (10 * labels[:, None] + noise).astype(np.float32)


def make_rows(part: SplitArrays, name: str, index: NDArray[np.int64]) -> NDArray[Any]:
    return part.inputs[name][part.position[name][index]]


def test_every_class_gets_as_many_rows_as_the_largest_and_the_given_rows_stay() -> None:
    part = make_part(LABELS, a=numbers(3), b=numbers(2))
    more = oversample(part, seed=0)
    assert np.bincount(more.labels).tolist() == [9, 9, 9]
    assert more.presence().all()
    for name in ("a", "b"):
        np.testing.assert_array_equal(
            make_rows(more, name, np.arange(15)), make_rows(part, name, np.arange(15))
        )
        assert more.inputs[name].dtype == np.float32


def test_a_seed_may_be_larger_than_the_library_takes() -> None:
    part = make_part(LABELS, a=numbers(3), b=numbers(2))
    large, small = oversample(part, seed=2**32 + 5), oversample(part, seed=5)
    np.testing.assert_array_equal(large.inputs["a"], small.inputs["a"])


def test_a_class_of_two_rows_gets_rows_on_the_line_between_them_in_all_modalities_at_once() -> None:
    part = make_part(LABELS, a=numbers(3), b=numbers(2))
    more = oversample(part, seed=0)
    new = np.flatnonzero(more.labels == 2)[2:]
    shares = []
    for name in ("a", "b"):
        one, other = part.inputs[name][13:]
        offset = make_rows(more, name, new) - one
        share = offset @ (other - one) / ((other - one) @ (other - one))
        np.testing.assert_allclose(offset, share[:, None] * (other - one), atol=1e-5)
        shares.append(share)
    np.testing.assert_allclose(shares[0], shares[1], atol=1e-5)
    assert ((shares[0] >= 0) & (shares[0] <= 1)).all()
    assert len(np.unique(shares[0])) == 7


def test_neighbours_are_of_the_same_class_and_at_most_five() -> None:
    # Class 1 lies on a line: two groups of six rows, a long way from each other.
    labels = np.repeat([0, 1], [60, 12])
    values = np.concatenate([np.full(60, 50.0), np.arange(6.0), 100 + np.arange(6.0)])[:, None]
    more = oversample(make_part(labels, a=values), seed=0)
    new = more.inputs["a"][72:, 0]
    assert len(new) == 48
    assert (((new >= 0) & (new <= 5)) | ((new >= 100) & (new <= 105))).all()


def test_rows_that_lack_a_modality_are_kept_and_take_no_part() -> None:
    values = numbers(2)
    values[0], values[9] = 1e6, -1e6  # of the rows that lack the other modality
    part = make_part(LABELS, {"b": [0, 9, 13]}, a=values, b=numbers(3))
    more = oversample(part, seed=0)
    # One complete row is left of class 2: there is nothing between which a row could lie.
    assert np.bincount(more.labels).tolist() == [9, 9, 2]
    new = np.arange(15, len(more))
    assert np.abs(make_rows(more, "a", new)).max() < 100
    assert more.presence()[new].all()
    assert not more.presence()[[0, 9, 13]].all(axis=1).any()


def test_a_class_whose_complete_rows_outnumber_the_largest_ones_is_filled_up_too() -> None:
    part = make_part(LABELS, {"b": [*range(7)]}, a=numbers(2), b=numbers(3))
    assert np.bincount(oversample(part, seed=0).labels).tolist() == [9, 9, 9]


def test_rows_of_other_parts_in_the_same_arrays_are_not_looked_at() -> None:
    part = make_part(LABELS, a=numbers(3)).take(np.arange(0, 15, 2))  # 5, 2 and 1 rows
    part.inputs["a"][1::2] = np.nan
    more = oversample(part, seed=0)
    assert np.bincount(more.labels).tolist() == [5, 5, 1]
    assert np.isfinite(more.batch().inputs["a"]).all()


def test_balanced_rows_stay_as_they_are() -> None:
    labels = np.repeat([0, 1], 3)
    assert len(oversample(make_part(labels, a=numbers(2, labels)), seed=0)) == 6


def test_the_seed_decides() -> None:
    part = make_part(LABELS, a=numbers(3))
    first, again, other = (oversample(part, seed).inputs["a"] for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize(
    "values",
    [np.zeros((15, 3, 4, 4), np.uint8), np.zeros((15, 6), np.int64), np.zeros((15, 9, 2), np.float32)],
    ids=["pixels", "words", "a series"],
)
def test_what_cannot_be_interpolated_is_refused(values: NDArray[Any]) -> None:
    with pytest.raises(SpecError, match=r"^training\.smote: modality 'b' is not a row of numbers"):
        oversample(make_part(LABELS, a=numbers(3), b=values), seed=0)


def test_complete_rows_of_one_class_only_are_refused() -> None:
    part = make_part(LABELS, {"b": [*range(9, 15)]}, a=numbers(2), b=numbers(3))
    with pytest.raises(SpecError, match=r"^training\.smote: fewer than two classes have rows with all"):
        oversample(part, seed=0)


def test_the_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "imblearn.over_sampling", None)
    with pytest.raises(SpecError, match="pip install imbalanced-learn"):
        oversample(make_part(LABELS, a=numbers(3)), seed=0)
