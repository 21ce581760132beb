"""Generated tables of skewed columns, and the scores on them."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from tailfuse.data.dataset import load_dataset
from tailfuse_bench.records import Result
from tailfuse_bench.skewed.compare import (
    RESULTS,
    Score,
    describe_scores,
    read_scores,
    score_answers,
    write_scores,
    write_table,
)
from tailfuse_bench.skewed.tables import MIN_ROWS, RATIOS, TABLES, TEST_ROWS, make_table
from tailfuse_service.modalities import TabularModality
from tailfuse_service.modalities.tabular import NumberColumn

SCORES = [
    Score("counts", 50, seed, method, 0.5 + 0.1 * seed, 1.25, 0.4, 0.5, 0.6, 12.0)
    for seed in (0, 1)
    for method in ("LightGBM", "tailfuse")
]


@pytest.mark.parametrize("name", TABLES)
def test_a_table_is_the_same_every_time_and_has_a_long_tail(name: str) -> None:
    for ratio in RATIOS:
        table = make_table(TABLES[name], ratio, 3)
        assert table.equals(make_table(TABLES[name], ratio, 3))
        assert not table.equals(make_table(TABLES[name], ratio, 4))
        counts = {
            part: table.filter(pl.col("split") == part)["label"].value_counts()["count"].sort().to_list()
            for part in ("train", "val", "test")
        }
        assert counts["train"][0] == MIN_ROWS[ratio]
        assert counts["train"][-1] == ratio * MIN_ROWS[ratio]
        assert min(counts["val"]) >= 2
        assert counts["test"] == [TEST_ROWS] * 6


def test_a_table_is_not_sorted_by_its_label() -> None:
    labels = make_table(TABLES["counts"], 50, 0)["label"].to_list()
    assert len(set(labels[:20])) > 1


def test_every_column_is_in_one_modality_and_most_are_logarithms(tmp_path: Path) -> None:
    for name, ratio in (("mixed", 50), ("amounts_in_two", 1000)):
        dataset = load_dataset(write_table(name, ratio, 0, tmp_path))
        columns: list[Any] = []
        for modality in dataset.modalities.values():
            assert isinstance(modality, TabularModality)
            columns += modality.columns
        assert len({column.name for column in columns}) == len(columns)
        assert len(columns) == make_table(TABLES[name], ratio, 0).width - 2
        logarithms = [column for column in columns if isinstance(column, NumberColumn) and column.log_unit]
        assert len(logarithms) >= 5
        assert len(dataset.modalities) == len(TABLES[name].modalities)


def test_missing_values_differ_by_class() -> None:
    table = make_table(TABLES["missing"], 50, 0)
    shares = table.group_by("label").agg(pl.col("a_0").is_null().mean())["a_0"]
    assert shares.max() > 0.2 + shares.min()  # type: ignore[operator]


def test_interactions_have_no_column_that_tells_a_class_alone() -> None:
    table = make_table(TABLES["interactions"], 50, 0).filter(pl.col("split") == "test")
    for name in ("a_0", "b_0"):
        positive = table.group_by("label").agg((pl.col(name) > 0).mean())[name]
        assert positive.is_between(0.35, 0.65).all()
    products = table.group_by("label").agg((pl.col("a_0") * pl.col("b_0") > 0).mean())["a_0"]
    assert ((products < 0.2) | (products > 0.8)).all()


def test_macro_f1_is_of_rows_with_the_training_shares(tmp_path: Path) -> None:
    """Answers that are right but for one row in ten of the most frequent class, taken as the rarest."""
    dataset = load_dataset(write_table("counts", 1000, 0, tmp_path))
    labels = dataset.test.labels
    counts = [info.train_count for info in dataset.classes]
    answers = np.eye(6)[labels] * (1 - 6e-6) + 1e-6
    wrong = np.flatnonzero(labels == np.argmax(counts))[::10]
    answers[wrong] = np.eye(6)[np.argmin(counts)] * 0.6 + np.eye(6)[np.argmax(counts)] * 0.4
    score = score_answers(Result("counts", 1000, 0, "x"), answers, dataset, 1.0)
    assert score.balanced_accuracy == pytest.approx(1 - 0.1 / 6)
    assert score.f1_uniform < 0.85  # the rarest class has 100 false rows for every true one
    assert score.f1_training == pytest.approx(1.0)  # the prior puts these rows right


def test_scores_are_kept_and_shown_as_means(tmp_path: Path) -> None:
    assert read_scores(tmp_path / RESULTS) == []
    write_scores(tmp_path, SCORES)
    assert read_scores(tmp_path / RESULTS) == SCORES
    assert describe_scores(SCORES).splitlines()[-1] == (
        "| counts | 50 | 55.0 / 55.0 | 40.0 / 40.0 | 50.0 / 50.0 | 60.0 / 60.0 | 1.250 / 1.250 | 12 / 12 |"
    )
