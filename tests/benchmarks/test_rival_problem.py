"""The problem that a rival is given: its rows, texts and missing modalities."""

import json
from pathlib import Path

import numpy as np
import pytest
from tailfuse.errors import RunError
from tailfuse_bench.methods import METHODS, RIVALS
from tailfuse_bench.rivals.environment import FOLDER
from tailfuse_bench.rivals.runner.__main__ import RIVALS as RUNNERS
from tailfuse_bench.rivals.runner.problem import PROBLEM, Rows, read_problem, write_problem

from tests.support.rivals import (
    SIZES,
    TFIDF,
    WHOLE,
    WORDS,
    build_problem,
    load,
)

pytestmark = pytest.mark.usefixtures("known_notes")


def test_every_rival_has_a_runner_and_every_runner_is_a_method() -> None:
    assert {name for name, method in METHODS.items() if method.group == RIVALS} == set(RUNNERS)
    for rival in RUNNERS.values():
        assert f"def {rival.function}(" in (FOLDER / "runner" / f"{rival.module}.py").read_text()


def test_a_problem_has_all_rows_and_no_labels_of_the_test_rows(notes: Path, tmp_path: Path) -> None:
    problem = build_problem(notes, tmp_path)
    assert np.bincount(problem.train.labels).tolist() == [SIZES[name] for name in sorted(SIZES)]
    assert (len(problem.val), len(problem.test), len(problem.test.labels)) == (42, 42, 0)
    assert problem.embeddings == ("note",)
    assert problem.train.features["note"].shape == (105, problem.test.features["note"].shape[1])
    assert not np.isnan(problem.train.features["facts"]).any()
    assert all(isinstance(text, str) and len(text.split()) == 6 for text in problem.train.texts["note"])
    assert [(len(each.rows), each.modalities) for each in problem.questions] == [
        (42, WHOLE), (42, ("note",)), (42, ("facts",)),
    ]  # fmt: skip


def test_missing_modalities_are_nan_in_every_part(notes: Path, tmp_path: Path) -> None:
    problem = build_problem(notes, tmp_path, missing=30)
    for rows, n in ((problem.train, 105), (problem.val, 42), (problem.test, 42)):
        absent = np.stack([~rows.presence(name) for name in WHOLE])
        assert absent.sum() == round(2 * n * 0.3)
        assert not absent.all(axis=0).any()
        assert [text is None for text in rows.texts["note"]] == absent[0].tolist()
    assert [(len(each.rows), each.modalities) for each in problem.questions] == [(42, WHOLE)]


def test_texts_belong_to_the_rows_of_their_labels(notes: Path, tmp_path: Path) -> None:
    problem = build_problem(notes, tmp_path, missing=30)
    classes = sorted(WORDS)
    for text, label in zip(problem.train.texts["note"], problem.train.labels, strict=True):
        assert text is None or set(WORDS[classes[label]]) & set(text.split())


def test_a_problem_is_read_as_it_was_written(notes: Path, tmp_path: Path) -> None:
    written = build_problem(notes, tmp_path, missing=30)
    write_problem(tmp_path, written)
    found = read_problem(tmp_path)
    assert (found.rival, found.seed, found.seconds, found.n_classes, found.embeddings) == (
        TFIDF, 0, 60, 3, ("note",),
    )  # fmt: skip
    for part in ("train", "val", "test"):
        ours, theirs = getattr(written, part), getattr(found, part)
        assert list(theirs.features) == list(WHOLE)
        for name in WHOLE:
            np.testing.assert_array_equal(ours.features[name], theirs.features[name])
        assert ours.texts == theirs.texts
        assert ours.labels.tolist() == theirs.labels.tolist()
    assert found.questions[0].rows.tolist() == list(range(42))
    assert "labels" not in json.loads((tmp_path / PROBLEM).read_text())


def test_other_modalities_are_taken_away_for_a_question() -> None:
    rows = Rows(
        {"a": np.ones((2, 3), np.float32), "b": np.ones((2, 1), np.float32)}, {"a": ["x", None]}, np.arange(2)
    )
    alone = rows.only(("b",))
    assert alone.presence("a").tolist() == [False, False]
    assert alone.presence("b").tolist() == [True, True]
    assert alone.texts == {"a": [None, None]}
    assert rows.take(np.array([1])).texts == {"a": [None]}


def test_a_row_without_any_modality_is_refused_where_texts_would_be_out_of_step(
    notes: Path, tmp_path: Path
) -> None:
    import polars as pl

    folder = tmp_path / "holes"
    folder.mkdir()
    table = pl.read_parquet(notes / "table.parquet").with_row_index()
    table = table.with_columns(
        pl.when(pl.col("index") > 0).then(pl.col(name)).alias(name)
        for name in ("note", "fact_0", "fact_1", "fact_2")
    )
    table.drop("index").write_parquet(folder / "table.parquet")
    with pytest.raises(RunError, match=r"table\.parquet: a row of train has no modality"):
        load(folder, tmp_path)
