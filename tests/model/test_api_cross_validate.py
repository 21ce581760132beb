"""`tailfuse.cross_validate` and its command: folds, groups, out-of-fold predictions."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import tailfuse
from tailfuse.errors import TableError

from tests.support.command import refused
from tests.support.command import tailfuse as run_command

pytestmark = pytest.mark.slow

KEYS: dict[str, Any] = {
    "name": "leaves",
    "label": "species",
    "split": {"val": 0.2, "test": 0, "group": "tree"},
    "modalities": {"size": {"kind": "tabular", "columns": ["length", "width"]}},
    "network": {"width": 8},
    "training": {"epochs": 3, "folds": 0},
}
COUNTS = {"oak": 24, "elm": 15, "yew": 1}


def write_table(folder: Path, **columns: pl.Series) -> Path:
    random = np.random.default_rng(0)
    species = [name for name, count in COUNTS.items() for _ in range(count)]
    length = [float(random.normal(3.0 * list(COUNTS).index(name))) for name in species]
    frame = pl.DataFrame({"species": species, "length": length, "width": [1.0, 2.0] * 20})
    frame = frame.with_columns(tree=pl.Series([f"T{number // 3}" for number in range(40)]), **columns)
    frame = frame.with_columns(length=pl.when(pl.int_range(40) == 4).then(None).otherwise("length"))
    frame.with_columns(width=pl.when(pl.int_range(40) == 4).then(None).otherwise("width")).write_csv(
        folder / "leaves.csv"
    )
    return folder / "leaves.csv"


def test_groups_are_in_one_fold_and_every_row_is_predicted_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    table = write_table(tmp_path)
    result = tailfuse.cross_validate({**KEYS, "table": table}, folds=3)
    predictions = result.predictions
    assert predictions["row"].to_list() == list(range(1, 40))  # the only yew has no prediction
    assert "1 rows are trained on in every fold and have no prediction" in caplog.text
    assert "'yew'" in caplog.text
    trees = (predictions["row"] - 1) // 3
    by_tree = predictions.with_columns(tree=trees).group_by("tree").agg(pl.col("fold").n_unique())
    assert by_tree["fold"].to_list() == [1] * 13
    assert predictions["predicted"].is_null().sum() == 1  # the row without any value
    answered = predictions.drop_nulls()
    assert np.allclose(answered.select(pl.sum_horizontal(pl.col("^probability\\..*$"))), 1)
    for fold, report in enumerate(result.reports):
        rows = answered.filter(pl.col("fold") == fold)
        assert report.overall.rows == len(rows)
        assert report.overall.accuracy == pytest.approx((rows["label"] == rows["predicted"]).mean())
    [accuracy] = result.summary.filter(pl.col("metric") == "accuracy").rows()
    scores = result.scores["accuracy"].to_numpy()
    assert accuracy[1:] == pytest.approx((scores.mean(), scores.std(ddof=1)))
    assert "3 folds: mean ± sd" in repr(result)
    assert "<td>accuracy</td>" in result._repr_html_()


def test_test_rows_are_in_no_fold_and_too_many_folds_are_refused(tmp_path: Path) -> None:
    parts = (["train"] * 3 + ["val"] + ["test"]) * 8
    parts[39] = "train"  # the only yew
    table = write_table(tmp_path, part=pl.Series(parts))
    spec = {**KEYS, "table": table, "split": "part"}
    rows = tailfuse.cross_validate(spec, folds=2).predictions["row"].to_list()
    assert rows == [row for row in range(1, 40) if parts[row - 1] != "test"]
    with pytest.raises(TableError, match="20 folds need as many groups of rows, and there are 14"):
        tailfuse.cross_validate({**KEYS, "table": table}, folds=20)
    with pytest.raises(ValueError, match="folds is 1; expected at least 2"):
        tailfuse.cross_validate(spec, folds=1)


def test_the_command_prints_the_figures_and_writes_the_predictions(tmp_path: Path) -> None:
    write_table(tmp_path)
    (tmp_path / "spec.yaml").write_text(json.dumps({**KEYS, "table": "leaves.csv"}))
    out = tmp_path / "predictions.csv"
    printed = json.loads(
        run_command("cross-validate", tmp_path / "spec.yaml", "--folds", 2, "-o", out, "--json")
    )
    assert set(printed["summary"]["accuracy"]) == {"mean", "sd"}
    assert [each["fold"] for each in printed["folds"]] == [0, 1]
    assert len(pl.read_csv(out)) == 39
    assert "exists already; --overwrite" in refused("cross-validate", tmp_path / "spec.yaml", "-o", out)
    table, before = tmp_path / "leaves.csv", (tmp_path / "leaves.csv").read_bytes()
    assert "is the table that is read" in refused(
        "cross-validate", tmp_path / "spec.yaml", "-o", table, "--overwrite"
    )
    assert table.read_bytes() == before
    assert "training.epoch: unknown key" in refused(
        "cross-validate", tmp_path / "spec.yaml", "--set", "training.epoch=3"
    )
