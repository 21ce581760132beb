"""`tailfuse.compare`: methods on the same rows, with paired differences."""

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import tailfuse
from tailfuse.api.compare import compare_rows
from tailfuse.errors import SpecError


def write_reviews(folder: Path) -> dict[str, Any]:
    """120 rows whose number, image-like note and word tell the class, with gaps."""
    random = np.random.default_rng(0)
    label = random.permutation(["good"] * 80 + ["bad"] * 40)
    score = random.normal(size=120) + 3 * (label == "bad")
    words = [f"it was {'awful' if name == 'bad' else 'lovely'} {at % 5}" for at, name in enumerate(label)]
    table = pl.DataFrame({"label": label, "score": score, "review": words})
    missing = pl.int_range(120) % 4
    table = table.with_columns(
        score=pl.when(missing == 0).then(None).otherwise("score"),
        review=pl.when(missing == 1).then(None).otherwise("review"),
    )
    table.write_csv(folder / "table.csv")
    return {
        "name": "reviews",
        "table": folder / "table.csv",
        "label": "label",
        "modalities": {
            "score": {"kind": "tabular", "columns": "score"},
            "text": {"kind": "text", "columns": "review"},
        },
        "network": {"width": 16},
        "training": {"epochs": 3, "folds": 0, "batch_size": 32},
    }


def test_methods_are_evaluated_on_the_same_rows(tmp_path: Path) -> None:
    spec = write_reviews(tmp_path)
    methods = ["confidence", "concat", "cross_entropy", "logistic regression", "majority"]
    result = tailfuse.compare(spec, iter(methods))
    assert result.frame["method"].to_list() == methods
    assert result.frame["rows"].n_unique() == 1
    by_method = {row["method"]: row for row in result.frame.iter_rows(named=True)}
    assert by_method["majority"]["balanced_accuracy"] == 0.5
    assert by_method["logistic regression"]["balanced_accuracy"] > 0.9
    assert by_method["confidence"]["difference"] is None
    for name in methods[1:]:
        row = by_method[name]
        gain = row["balanced_accuracy"] - by_method["confidence"]["balanced_accuracy"]
        assert row["difference"] == pytest.approx(gain)
        assert row["low"] <= row["difference"] <= row["high"]
    assert "difference to confidence" in repr(result)
    assert "<td>majority</td>" in result._repr_html_()


def test_wrong_methods_are_refused_before_any_training(tmp_path: Path) -> None:
    spec = {**write_reviews(tmp_path), "training": {"epochs": 10**6}}
    for methods, message in (
        (["confidenc"], "'confidenc' is none of .*did you mean 'confidence'"),
        (["concat", "concat"], "named twice"),
        ([], "expected a list"),
        ("concat", "expected a list"),
    ):
        with pytest.raises(SpecError, match=message):
            tailfuse.compare(spec, methods)
    with pytest.raises(SpecError, match="methods are compared on test rows"):
        tailfuse.compare({**spec, "split": {"test": 0}})


def test_a_difference_is_paired_and_counts_classes_alike() -> None:
    labels = np.array([0] * 90 + [1] * 10)
    sure = np.eye(2)[labels]
    wrong_in_one_class = np.eye(2)[np.zeros(100, int)]
    assert compare_rows(sure, wrong_in_one_class, labels) == (-0.5, -0.5, -0.5)
    half = sure.copy()
    half[90:95] = half[90:95, ::-1]
    difference, low, high = compare_rows(sure, half, labels)
    assert difference == -0.25
    assert low < -0.25 < high <= 0


def test_a_million_rows_are_compared_without_a_million_draws() -> None:
    labels = np.arange(10**6) % 2
    first, other = np.eye(2)[labels], np.eye(2)[labels]
    other[:1000] = other[:1000, ::-1]
    tracemalloc.start()  # two thousand draws of each row would take 16 GB
    difference, low, high = compare_rows(first, other, labels)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert difference == pytest.approx(-0.001)
    assert low < difference < high < 0
    assert most < 200e6
