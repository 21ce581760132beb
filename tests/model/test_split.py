"""Splits: stratified, grouped, the same for the same seed, and train first."""

import itertools
import logging
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tailfuse.data.split import Split, split_rows
from tailfuse.errors import TableError
from tailfuse.spec.schema import SplitSpec

LABELS = ["a"] * 100 + ["b"] * 30 + ["c"] * 4 + ["d"] * 2


FRACTIONS = SplitSpec(val=0.1, test=0.2)


def split(labels: list[Any], split: str | SplitSpec = FRACTIONS, seed: int = 0, **columns: Any) -> Split:
    table = pl.DataFrame({"y": labels, **columns}, strict=False)
    return split_rows(table, table["y"], split, seed)


def counts(rows: Any, labels: list[str]) -> dict[str, int]:
    return {label: sum(labels[row] == label for row in rows) for label in sorted(set(labels))}


def test_fractions_hold_for_every_class() -> None:
    parts = split(LABELS)
    assert counts(parts.test, LABELS) == {"a": 20, "b": 6, "c": 1, "d": 1}
    assert counts(parts.val, LABELS) == {"a": 10, "b": 3, "c": 1, "d": 0}
    assert counts(parts.train, LABELS) == {"a": 70, "b": 21, "c": 2, "d": 1}


def test_every_class_with_one_row_goes_to_train() -> None:
    labels = ["a"] * 40 + [f"rare {number}" for number in range(30)]
    for seed in range(5):
        assert set(range(40, 70)) <= set(split(labels, seed=seed).train)
        together = split(labels, SplitSpec(group="g"), seed, g=[number // 2 for number in range(70)])
        assert set(range(40, 70)) <= set(together.train)


def test_rows_without_a_label_are_in_no_part() -> None:
    labels = ["a", None, "b", "b", None] * 8
    by_fractions = split(labels)
    by_column = split(labels, "part", part=["train", "train", "val", "train", "test"] * 7 + ["test"] * 5)
    for parts in (by_fractions, by_column):
        rows = sorted([*parts.train, *parts.val, *parts.test])
        assert rows == [row for row, label in enumerate(labels) if label]


def test_spaces_around_a_part_do_not_count() -> None:
    parts = split(["a", "b"] * 3, "part", part=["train ", "train", " val", "val", "test\t", "test"])
    assert (parts.train.tolist(), parts.val.tolist(), parts.test.tolist()) == ([0, 1], [2, 3], [4, 5])


def test_the_same_seed_gives_the_same_split() -> None:
    same, again, other = split(LABELS, seed=1), split(LABELS, seed=1), split(LABELS, seed=2)
    assert same.test.tolist() == again.test.tolist()
    assert same.test.tolist() != other.test.tolist()


@settings(max_examples=60)
@given(
    rows=st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 12)), min_size=12, max_size=80),
    seed=st.integers(0, 5),
)
def test_no_group_is_in_two_parts_and_no_row_is_lost(rows: list[Any], seed: int) -> None:
    labels = [label for label, _ in rows]
    groups = [group or None for _, group in rows]
    try:
        parts = split(labels, SplitSpec(group="g"), seed, g=groups)
    except TableError as error:
        # Too few rows or groups to give every class and every part some.
        assert any(why in str(error) for why in ("no row is left", "has no training row"))  # noqa: PT017
        return
    each = [parts.train.tolist(), parts.val.tolist(), parts.test.tolist()]
    assert sorted(itertools.chain(*each)) == list(range(len(rows)))
    in_part = [{groups[row] for row in part} - {None} for part in each]
    assert sum(map(len, in_part)) == len(set.union(*in_part))
    assert set(labels) == {labels[row] for row in parts.train}


def test_groups_keep_the_fractions_about_right() -> None:
    labels = ["a"] * 300 + ["b"] * 60
    groups = [number // 3 for number in range(360)]
    parts = split(labels, SplitSpec(group="g"), g=groups)
    assert counts(parts.test, labels) == {"a": 60, "b": 12}
    assert counts(parts.val, labels) == {"a": 30, "b": 6}


def test_a_giant_group_goes_to_train() -> None:
    labels = ["a"] * 102 + ["b"] * 9
    groups = [0] * 100 + list(range(1, 12))
    assert set(range(100)) <= set(split(labels, SplitSpec(group="g"), g=groups).train)


def test_a_column_says_the_split_and_other_values_are_not_used(caplog: pytest.LogCaptureFixture) -> None:
    column = ["train"] * 4 + ["val", "test", "holdout", None]
    with caplog.at_level(logging.WARNING, "tailfuse"):
        parts = split(["a", "b"] * 3 + [None, None], "part", part=column)
    assert (parts.train.tolist(), parts.val.tolist(), parts.test.tolist()) == ([0, 1, 2, 3], [4], [5])
    assert caplog.messages == ["2 rows are not used: their 'part' is 'holdout', missing"]


def test_without_val_some_of_train_become_val() -> None:
    labels = ["a"] * 60 + ["b"] * 20 + ["c"] * 2 + ["a", "b", "c"]
    parts = split(labels, "part", part=["train"] * 82 + ["test"] * 3)
    assert parts.test.tolist() == [82, 83, 84]
    assert counts(parts.val, labels) == {"a": 6, "b": 2, "c": 0}
    assert counts(parts.train, labels) == {"a": 54, "b": 18, "c": 2}
    assert np.intersect1d(parts.train, parts.val).size == 0


@pytest.mark.parametrize(
    ("labels", "columns", "how", "said"),
    [
        (["a", "b", "c"], {}, FRACTIONS,
         "split: no row is left for val; there are too few rows, or too few groups"),
        (["a", "a", "b", "b"], {}, FRACTIONS,
         "split: no row is left for val; there are too few rows, or too few groups"),
        (["a", "a", "b", "b"], {"part": ["train", "test", "test", "val"]}, "part",
         "label: column 'y': class 'b' has no training row; row 3 is in test. Move a row of each to train, "
         "or merge rare classes by min_rows in the spec"),
        (["a", "a", "a", "c", "b"], {"part": ["train", "test", "val", "val", "test"]}, "part",
         "label: column 'y': 2 classes have no training row: 'b', 'c'; row 4 is in val. "
         "Move a row of each to train, or merge rare classes by min_rows in the spec"),
        (["a", "b", "a", "b"], {"part": ["train"] * 4}, "part",
         "split: column 'part' has no row with 'test'"),
        (["a", "b", "a", "b"], {"part": [[1]] * 4}, "part",
         "split, column 'part': holds list; a column of numbers, booleans or strings is taken"),
        (["a", "b", "a", "b"], {"part": ["tr", "tr", "te", "te"]}, "part",
         "split: column 'part' has no row with 'train'; it holds 'te', 'tr'"),
        (["a", "a", "b", "b"], {"part": ["train", "test"] * 2}, "parts",
         "split: the table has no column 'parts'; did you mean 'part'?"),
        (["a", "a", "b", "b"], {"who": [1, 2, 3, 4]}, SplitSpec(group="whom"),
         "split.group: the table has no column 'whom'; did you mean 'who'?"),
    ],
    ids=["one row each", "few", "test only", "val only", "no test", "lists", "no train", "split", "group"],
)  # fmt: skip
def test_a_table_that_cannot_be_split_is_named(
    labels: list[Any], columns: dict[str, Any], how: Any, said: str
) -> None:
    with pytest.raises(TableError) as caught:
        split(labels, how, **columns)
    assert str(caught.value) == said


def test_without_test_rows_all_others_are_trained_on() -> None:
    parts = split(LABELS, SplitSpec(val=0.1, test=0))
    assert counts(parts.test, LABELS) == {"a": 0, "b": 0, "c": 0, "d": 0}
    assert counts(parts.val, LABELS) == {"a": 10, "b": 3, "c": 1, "d": 0}
    assert len(parts.train) + len(parts.val) == len(LABELS)
