"""What input drift looks at: the same of a row alone and among others, and bins that hold what there was."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from tailfuse_service.bundle import features_by_modality
from tailfuse_service.bundle.summary import (
    bins_for,
    choose_edges,
    count_bins,
    input_references,
)
from tailfuse_service.modalities import ImageModality, Modality, SeriesModality, TabularModality, TextModality
from tailfuse_service.modalities.modality import MAX_INPUTS
from tailfuse_service.modalities.series import Channel
from tailfuse_service.modalities.tabular import BooleanColumn, CategoryColumn, NumberColumn, count_slots

TABULAR = TabularModality(
    columns=(
        NumberColumn(name="age", mean=50.0, scale=10.0, indicator=True),
        NumberColumn(name="pulse", mean=70.0, scale=5.0),
        BooleanColumn(name="smoker"),
        CategoryColumn(name="site", categories=("back", "face", "hand")),
        CategoryColumn(name="none", categories=()),
    ),
    width=7,
)
IMAGE = ImageModality(column="image", height=64, width=96, channels=3)
TEXT = TextModality(columns=("review",), buckets=64, ngrams=1, max_tokens=16)
SERIES = SeriesModality(columns=("x", "y"), channels=(Channel(mean=0, scale=1),) * 2, length=40)


@dataclass(frozen=True)
class Summarised:
    """Raw values of a modality as rows, and the values of their inputs by name."""

    modality: Modality

    def __call__(self, *raw: Any) -> dict[str, list[float]]:
        features = features_by_modality({"m": self.modality})["m"]
        rows = features.stack([array for each in raw if (array := features.apply(each)) is not None])
        names, compute = self.modality.summary()
        values = compute(rows)
        assert values.shape == (len(raw), len(names))
        assert values.dtype == np.float32
        return dict(zip(names, values.T.tolist(), strict=True))


def test_of_a_row_each_column_is_an_input_and_missing_is_missing() -> None:
    values = Summarised(TABULAR)(
        {"age": 60, "pulse": 70, "smoker": True, "site": "hand", "none": "x"},
        {"age": None, "pulse": 80, "smoker": None, "site": "knee"},
    )
    nan = float("nan")
    expected = {
        "age": [1, nan], "pulse": [0, 2], "smoker": [1, nan], "site": [2, nan], "none": [nan, nan],
        "all numbers": [0.5**0.5, 2**0.5],
    }  # fmt: skip
    assert values.keys() == expected.keys()
    for name, each in expected.items():
        assert values[name] == pytest.approx(each, nan_ok=True), name


def test_of_many_columns_the_first_are_watched() -> None:
    columns = tuple(NumberColumn(name=f"c{at}", mean=0, scale=1) for at in range(100))
    names, compute = TabularModality(columns=columns, width=sum(map(count_slots, columns))).summary()
    assert names == [*(f"c{at}" for at in range(MAX_INPUTS)), "all numbers"]
    assert compute(np.ones((3, 100), np.float32)).shape == (3, MAX_INPUTS + 1)


def test_of_a_picture_brightness_contrast_and_detail() -> None:
    names, compute = IMAGE.summary()
    black = np.zeros((3, 64, 96), np.uint8)
    halves = black.copy()
    halves[:, :, 48:] = 255
    noise = np.random.default_rng(0).integers(0, 256, black.shape, np.uint8)
    values = dict(zip(names, compute(np.stack([black, halves, noise])).T, strict=True))
    assert values["brightness"] == pytest.approx([0, 0.5, 0.5], abs=0.02)
    assert values["contrast"] == pytest.approx([0, 0.5, 0.29], abs=0.02)
    assert values["detail"] == pytest.approx([0, 0, 1 / 3], abs=0.02)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 300), (300, 1), (2000, 1500)])
def test_pictures_of_any_shape_have_a_summary(height: int, width: int) -> None:
    modality = ImageModality(column="image", height=height, width=width, channels=1)
    grey = np.full((2, 1, height, width), 51, np.uint8)
    assert modality.summary().compute(grey) == pytest.approx(np.array([[0.2, 0, 0]] * 2), abs=1e-6)


def test_of_a_text_its_words_those_said_before_and_which_they_are() -> None:
    values = Summarised(TEXT)("spot spot spot dark", "dark", "spot")
    assert values["words"] == [4, 1, 1]
    assert values["repeats"] == [0.5, 0, 0]
    dark, spot = values["vocabulary"][1:]
    assert dark != spot
    assert values["vocabulary"][0] == pytest.approx((3 * spot + dark) / 4)


def test_of_a_series_its_length_and_of_each_channel_mean_and_spread() -> None:
    values = Summarised(SERIES)([[1, 5], [3, 5]], [[2, 0]] * 4, [[0, 0]])
    assert values == {
        "length": [2, 4, 1],
        "x mean": [2, 2, 0],
        "x spread": [1, 0, 0],
        "y mean": [5, 0, 0],
        "y spread": [0, 0, 0],
    }


@pytest.mark.parametrize(
    ("modality", "short", "long"),
    [(TEXT, "spot", "a b c d e f"), (SERIES, [[1, 5], [3, 5]], [[1, 2]] * 40)],
    ids=["text", "series"],
)
def test_padding_is_not_seen(modality: Modality, short: Any, long: Any) -> None:
    summarised = Summarised(modality)
    alone, among = summarised(short), summarised(short, long)
    assert {name: values[0] for name, values in among.items()} == {
        name: values[0] for name, values in alone.items()
    }


def test_values_as_large_as_features_let_through_do_not_overflow() -> None:
    assert all(np.isfinite(each).all() for each in Summarised(SERIES)([[1e29, -1e29]] * 3).values())
    assert np.isfinite(Summarised(TABULAR)({"age": 1e30})["all numbers"]).all()


@pytest.mark.parametrize("n_rows", [1, 3, 30, 1000])
def test_many_different_values_are_in_bins_that_hold_about_as_many(n_rows: int) -> None:
    values = np.random.default_rng(0).normal(size=n_rows).astype(np.float32)
    edges = choose_edges(values)
    assert list(edges) == sorted(set(edges))
    *counts, missing = count_bins(values, edges)
    assert missing == 0
    assert sum(counts) == n_rows
    if n_rows > 10:
        assert len(counts) == bins_for(n_rows)
        assert max(counts) - min(counts) <= 1


def test_few_different_values_have_a_bin_each_and_what_was_never_seen_another() -> None:
    values = np.array([0, 0, 1, 5, np.nan] * 80, np.float32)
    edges = choose_edges(values)
    assert count_bins(values, edges) == [0, 160, 80, 80, 0, 80]
    assert count_bins(np.array([-3, 9], np.float32), edges) == [1, 0, 0, 0, 1, 0]


@pytest.mark.parametrize("value", [0.0, 5.0, -1e6])
def test_another_value_than_the_only_one_is_seen(value: float) -> None:
    values = np.full(300, value, np.float32)
    edges = choose_edges(values)
    assert count_bins(values, edges) == [0, 300, 0, 0]
    assert count_bins(values * np.float32(1.01) + np.float32(0.01), edges)[1] == 0


def test_what_was_never_there_has_bins_too() -> None:
    edges = choose_edges(np.full(50, np.nan, np.float32))
    assert edges == ()
    assert count_bins(np.array([1, np.nan], np.float32), edges) == [1, 1]


def test_small_references_have_fewer_bins() -> None:
    assert [bins_for(n) for n in (0, 30, 100, 300, 1000, 10**6)] == [2, 2, 5, 9, 10, 10]


def test_rows_come_a_few_at_a_time_or_not_at_all() -> None:
    rows = np.random.default_rng(0).normal(size=(90, 7)).astype(np.float32)
    whole = input_references(TABULAR, [rows])
    assert whole == input_references(TABULAR, [rows[:40], rows[40:]])
    assert [sum(each.counts) for each in whole] == [90] * len(whole)
    assert all(sum(each.counts) == 0 for each in input_references(TABULAR, []))
