"""A long tail imposed on balanced rows."""

from typing import Any

import numpy as np
import polars as pl
import pytest
from tailfuse.data.imbalance import impose_imbalance, subsample_rows
from tailfuse.data.split import Split

# 5 classes: 100, 100, 120, 140 and 100 training rows; 20 of each to validate, but 12 of e; 30 to test.
TRAIN, VAL, TEST = (100, 100, 120, 140, 100), (20, 20, 20, 20, 12), (30,) * 5


@pytest.fixture(scope="module")
def labels() -> pl.Series:
    each = [name * n for part in (TRAIN, VAL, TEST) for name, n in zip("abcde", part, strict=True)]
    return pl.Series("label", list("".join(each)))


@pytest.fixture(scope="module")
def split() -> Split:
    ends = np.cumsum([sum(TRAIN), sum(VAL), sum(TEST)])
    return Split(np.arange(ends[0]), np.arange(ends[0], ends[1]), np.arange(ends[1], ends[2]))


def counts(labels: pl.Series, rows: Any) -> list[int]:
    """By class, most first."""
    return sorted((int((labels[rows] == name).sum()) for name in "abcde"), reverse=True)


@pytest.mark.parametrize(
    ("imbalance_ratio", "train", "val"),
    [
        (1, [100] * 5, [12] * 5),
        (10, [100, 56, 32, 18, 10], [12, 7, 4, 2, 1]),  # 12 * 10 ** -0.75 is 2.1
        (50, [100, 38, 14, 5, 2], [12, 5, 2, 1, 1]),  # 100 * 50 ** -0.25 is 37.6
        (100, [100, 32, 10, 3, 2], [12, 4, 1, 1, 1]),  # the last would be 1; two are kept at least
    ],
)
def test_the_tail_is_the_protocols(
    labels: Any, split: Any, imbalance_ratio: int, train: list[Any], val: list[Any]
) -> None:
    for seed in range(3):
        tail = impose_imbalance(split, labels, imbalance_ratio, seed)
        assert counts(labels, tail.train) == train
        assert counts(labels, tail.val) == val
        assert tail.test is split.test


def test_train_and_val_have_the_same_order_of_classes(labels: Any, split: Any) -> None:
    tail = impose_imbalance(split, labels, 10, seed=4)
    by_class = [[int((labels[rows] == name).sum()) for name in "abcde"] for rows in (tail.train, tail.val)]
    assert np.argsort(by_class[0]).tolist() == np.argsort(by_class[1]).tolist()


def test_the_seed_shuffles_the_classes_and_chooses_the_rows(labels: Any, split: Any) -> None:
    first, again, other = (impose_imbalance(split, labels, 50, seed).train.tolist() for seed in (0, 0, 1))
    assert first == again
    assert first != other
    commonest = {labels[impose_imbalance(split, labels, 50, seed).train].mode().item() for seed in range(20)}
    assert commonest == set("abcde")


def test_a_steeper_tail_keeps_rows_of_the_flatter_one(labels: Any, split: Any) -> None:
    flat, steep = (impose_imbalance(split, labels, ratio, seed=2) for ratio in (10, 50))
    assert set(steep.train) < set(flat.train)
    assert set(steep.val) < set(flat.val)


def test_a_class_without_validation_rows_stays_without(labels: Any) -> None:
    rows = np.flatnonzero((labels != "c").to_numpy())
    kept = subsample_rows(labels, rows, list("abcde"), 1, least=1, random=np.random.default_rng(0))
    assert not (labels[kept] == "c").any()
    assert kept.tolist() == sorted(kept.tolist())
