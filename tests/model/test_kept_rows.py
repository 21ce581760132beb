"""The rows of a large table are kept on disk: the same as those in memory, and read once."""

import logging
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from tailfuse.data import kept_rows, pieces, read_rows
from tailfuse.data.dataset import build_dataset, load_dataset, load_table
from tailfuse.data.split_arrays import Dataset, SplitArrays
from tailfuse.errors import TableError
from tailfuse.spec.schema import Spec

ROWS = 120
SPEC: dict[str, Any] = {
    "name": "m", "label": "label",
    "modalities": {
        "columns": {"kind": "tabular", "columns": ["number", "colour", "flag"]},
        "words": {"kind": "text", "columns": "words"},
        "bag": {"kind": "text", "columns": "words", "encoder": "bag"},
    },
}  # fmt: skip


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("TAILFUSE_CACHE", str(folder))
    monkeypatch.setattr(kept_rows, "MIN_KEPT_ROWS", 10)
    monkeypatch.setattr(pieces, "PIECE", 16)
    return folder


@pytest.fixture
def spec(tmp_path: Path) -> Spec:
    """Cells of every kind are missing here and there; the first forty rows have no words."""
    random = np.random.default_rng(0)
    words = [" ".join(random.choice(["oak", "elm", "ash", "fir"], 1 + row % 5)) for row in range(ROWS)]
    table = pl.DataFrame(
        {
            "number": [None if row % 7 == 0 else float(row) for row in range(ROWS)],
            "colour": [None if row % 7 == 0 else f"colour {row % 4}" for row in range(ROWS)],
            "flag": [None if row % 7 == 0 else row % 2 == 0 for row in range(ROWS)],
            "words": [None if row < 40 and row % 7 else each for row, each in enumerate(words)],
            "label": [f"class {row % 3}" for row in range(ROWS)],
        }
    )
    table.write_parquet(tmp_path / "table.parquet")
    return Spec.model_validate(SPEC | {"table": tmp_path / "table.parquet"})


def list_rows(part: SplitArrays) -> list[dict[str, list[Any] | None]]:
    """List each row's values by modality."""
    return [
        {
            name: None if position[row] < 0 else part.inputs[name][position[row]].tolist()
            for name, position in part.position.items()
        }
        for row in range(len(part))
    ]


def list_parts(dataset: Dataset) -> list[Any]:
    return [(list_rows(part), part.labels.tolist()) for part in (dataset.train, dataset.val, dataset.test)]


def test_rows_from_disk_are_those_in_memory(spec: Spec, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = list_parts(load_dataset(spec))
    assert len(list(cache.glob("rows-*-lengths.npy"))) == 3
    monkeypatch.setattr(kept_rows, "MIN_KEPT_ROWS", ROWS + 1)
    assert kept == list_parts(load_dataset(spec))


def test_they_are_mapped_not_read(spec: Spec, cache: Path) -> None:
    train = load_dataset(spec).train
    numbers, words = train.inputs["columns"], train.inputs["words"][0]
    assert not numbers.flags.owndata
    assert not words.flags.owndata


def test_they_are_made_once(spec: Spec, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = list_parts(load_dataset(spec))
    monkeypatch.setattr(read_rows, "make_arrays", None)  # whatever makes a row fails
    monkeypatch.setattr(pieces, "read_rows", None)
    assert list_parts(load_dataset(spec)) == first


def change_a_cell(spec: Spec) -> Spec:
    table = pl.read_parquet(spec.table)
    number = pl.Series("number", [500.0, *table["number"][1:]])
    table.with_columns(number).write_parquet(spec.table)
    return spec


def change_the_split(spec: Spec) -> Spec:
    return spec.model_copy(update={"seed": 1})


def change_what_is_missing(spec: Spec) -> Spec:
    return spec.model_copy(update={"missing": ("colour 1",)})


@pytest.mark.parametrize("change", [change_a_cell, change_the_split, change_what_is_missing])
def test_another_table_split_or_reading_has_rows_of_its_own(
    spec: Spec, cache: Path, monkeypatch: pytest.MonkeyPatch, change: Any
) -> None:
    before = list_parts(load_dataset(spec))
    changed = change(spec)
    kept = list_parts(load_dataset(changed))
    assert kept != before
    monkeypatch.setattr(kept_rows, "MIN_KEPT_ROWS", ROWS + 1)
    assert kept == list_parts(load_dataset(changed))


def test_a_cell_that_cannot_be_read_is_told_with_its_row(spec: Spec, cache: Path) -> None:
    rows = load_dataset(spec).test.rows
    assert rows is not None
    test_row = int(rows[0])
    shutil.rmtree(cache)
    table = pl.read_parquet(spec.table).with_columns(pl.col("number").cast(pl.String))
    cells = table["number"].to_list()
    cells[test_row] = "lots"
    table.with_columns(pl.Series("number", cells)).write_parquet(spec.table)
    columns = spec.modalities["columns"].model_copy(update={"types": {"number": "number"}})
    changed = spec.model_copy(update={"modalities": spec.modalities | {"columns": columns}})
    with pytest.raises(TableError, match=f"row {test_row + 1}: .*'number'.*'lots'"):
        load_dataset(changed)
    assert not list(cache.glob("*.npy"))


def test_a_modality_that_hardly_a_row_has_is_absent_elsewhere(spec: Spec, cache: Path) -> None:
    texts = ["oak", "elm", *[None] * (ROWS - 2)]
    split = ["train", "train", *["train", "val", "test"] * 39, "train"]
    columns = {"words": pl.Series(texts, dtype=pl.String), "split": pl.Series(split)}
    pl.read_parquet(spec.table).with_columns(**columns).write_parquet(spec.table)
    dataset = load_dataset(spec.model_copy(update={"split": "split"}))
    assert dataset.train.presence()[:, 2].sum() == 2
    assert not dataset.test.presence()[:, 2].any()


def test_progress_is_reported_to_the_last_row(spec: Spec, cache: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    load_dataset(spec, lambda *step: seen.append(step))
    assert [step for step in seen if step[0] == "words"][-1] == ("words", ROWS, ROWS)


def test_a_disk_that_is_full_costs_memory_and_not_the_training(
    spec: Spec, cache: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    kept = list_parts(load_dataset(spec))
    monkeypatch.setenv("TAILFUSE_CACHE", "/dev/null/cache")
    with caplog.at_level(logging.WARNING, "tailfuse"):
        assert list_parts(load_dataset(spec)) == kept
    assert "120 rows are kept in memory instead" in caplog.text


def test_the_rows_of_a_frame_stay_in_memory(spec: Spec, cache: Path) -> None:
    build_dataset(spec, load_table(spec))
    assert not cache.exists()
