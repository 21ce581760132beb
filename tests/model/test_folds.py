"""Folds: no group on both sides, every class spread."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tailfuse.data.folds import assign_folds, make_folds
from tailfuse.spec.schema import SplitSpec, load_spec

ROWS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9)), min_size=1, max_size=60)


@given(rows=ROWS, n_folds=st.integers(2, 5), seed=st.integers(0, 3))
def test_rows_of_one_group_are_in_one_fold_and_every_row_is_held_out_once(
    rows: Any, n_folds: Any, seed: Any
) -> None:
    labels, groups = np.array(rows).T
    pairs = make_folds(labels, groups, n_folds, seed)
    for others, own in pairs:
        assert not set(groups[others]) & set(groups[own])
        assert len(others)
        assert sorted([*others, *own]) == list(range(len(rows)))
    if len(set(groups.tolist())) > 1:
        assert sorted(np.concatenate([own for _, own in pairs]).tolist()) == list(range(len(rows)))
    else:
        assert pairs == []  # nothing would be left to train on


@given(labels=st.lists(st.integers(0, 3), min_size=1, max_size=60), n_folds=st.integers(2, 5))
def test_without_groups_every_class_is_spread_as_evenly_as_can_be(labels: Any, n_folds: int) -> None:
    codes = np.array(labels)
    fold = assign_folds(codes, np.arange(len(codes)), n_folds, seed=0)
    for each in np.unique(codes):
        counts = np.bincount(fold[codes == each], minlength=n_folds)
        assert counts.max() - counts.min() <= 1


def test_single_rows_of_many_classes_do_not_all_go_to_one_fold() -> None:
    fold = assign_folds(np.arange(12), np.arange(12), 4, seed=0)
    assert np.bincount(fold).tolist() == [3, 3, 3, 3]


def test_the_same_seed_gives_the_same_folds() -> None:
    labels = np.repeat([0, 1], 20)
    first, again, other = (assign_folds(labels, np.arange(40), 3, seed) for seed in (0, 0, 1))
    assert first.tolist() == again.tolist()
    assert first.tolist() != other.tolist()


def test_no_folds_are_no_folds() -> None:
    assert make_folds(np.array([0, 1]), np.arange(2), 0, seed=0) == []


@pytest.mark.parametrize("split", ["{group: lesion_id}", "{column: split, group: lesion_id}"])
def test_the_groups_of_the_spec_reach_the_folds(lesions: Any, split: str) -> None:
    for number, row in enumerate(lesions.rows):
        row["lesion_id"] = f"L{number // 3}"
        if number % 7 == 0:
            row |= {"image": None, "age": None, "sex": None, "smoker": None, "note": None}  # left out
    lesions.spec = lesions.spec.replace("split: split", f"split: {split}")
    dataset = lesions.load()
    ages = dataset.train.inputs["clinical"][dataset.train.position["clinical"]]
    assert len(dataset.groups) == len(dataset.train)
    # Rows of a lesion differ by one or two years: the same group, neighbours in age.
    order = np.argsort(ages[:, 0])
    assert (np.diff(dataset.groups[order]) >= 0).all()
    pairs = make_folds(dataset.train.labels, dataset.groups, 2, seed=0)
    assert len(pairs) == 2
    assert all(not set(dataset.groups[a]) & set(dataset.groups[b]) for a, b in pairs)


def test_without_groups_every_row_is_one_of_its_own(lesions: Any) -> None:
    dataset = lesions.load()
    assert len(set(dataset.groups.tolist())) == len(dataset.train)


def test_a_split_column_can_have_groups_and_test_rows_that_share_one_are_told(
    lesions: Any, caplog: pytest.LogCaptureFixture
) -> None:
    lesions.spec = lesions.spec.replace("split: split", "split: {column: split, group: lesion_id}")
    spec = load_spec(lesions.write())
    assert isinstance(spec.split, SplitSpec)
    assert spec.split.column == "split"
    lesions.load()
    assert "split.group: 6 test rows have a group that other parts have too, the first 'L0'" in caplog.text
