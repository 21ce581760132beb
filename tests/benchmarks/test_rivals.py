"""Rivals: their problem, their environment, and what is measured of their answers."""

import csv
import json
import logging
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from tailfuse.cli import main
from tailfuse.errors import RunError, UserError
from tailfuse.modalities.text.lsa import LsaProjection
from tailfuse.spec.schema import Spec
from tailfuse_bench import datasets
from tailfuse_bench.experiment import evaluate_task, load_rival_rows
from tailfuse_bench.methods import LATE_LOGISTIC, LOGISTIC, METHODS, OURS, RIVALS
from tailfuse_bench.records import Result
from tailfuse_bench.rivals import environment as environments
from tailfuse_bench.rivals.environment import FOLDER, Environment, find_environment, list_versions, run_rival
from tailfuse_bench.rivals.evaluate import RivalRows, check_probabilities, make_problem
from tailfuse_bench.rivals.runner.__main__ import RIVALS as RUNNERS
from tailfuse_bench.rivals.runner.problem import PROBLEM, Problem, Rows, read_problem, write_problem
from tailfuse_bench.rows import load_rows
from tailfuse_bench.selection import QUICK_METHODS
from tailfuse_bench.tasks import Experiment, Task
from tailfuse_bench.training import measure_weights
from torch import nn

from tests.support.rivals import NOTES, SIZES, write_environment, write_notes

TFIDF, LATE_TFIDF = "TF-IDF logistic regression", "TF-IDF late logistic regression"
WHOLE = ("note", "facts")


@pytest.fixture(autouse=True)
def known_notes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(datasets.DATASETS, NOTES.name, NOTES)


@pytest.fixture(scope="module")
def notes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_notes(tmp_path_factory.mktemp("sets") / NOTES.name)


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """This very environment, which has scikit-learn and none of the other rivals."""
    return find_environment(write_environment(tmp_path_factory.mktemp("environment")), 60)


def make_task(notes: Path, out: Path, *methods: str, missing: int = 0, **more: Environment) -> Task:
    return Task(Experiment(NOTES.name, 0, 0, missing), methods, notes, out, **more)


def load(notes: Path, out: Path, missing: int = 0) -> RivalRows:
    task = make_task(notes, out, OURS, missing=missing)
    return load_rival_rows(task.spec(OURS).model_dump_json(), task.experiment)


def build_problem(notes: Path, out: Path, rival: str = TFIDF, missing: int = 0) -> Problem:
    rows = load(notes, out, missing)
    return make_problem(rows, Experiment(NOTES.name, 0, 0, missing).make_result(rival), 60, missing)


# The problem


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
    from tests.support.rivals import WORDS

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


# The environment


def test_an_environment_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"bin/python: no such file; make the environment with `make "):
        find_environment(tmp_path / "nowhere", 60)


def test_what_is_not_installed_is_known(environment: Environment) -> None:
    versions = list_versions(environment)
    assert list(versions) == list(RUNNERS)
    assert versions["LightGBM"] is None
    assert versions[TFIDF]


@pytest.mark.parametrize("script", ["exit 3", "echo nonsense", "echo broken >&2; exit 1"])
def test_an_environment_that_cannot_run_is_told(tmp_path: Path, script: str) -> None:
    broken = find_environment(write_environment(tmp_path / "e", script), 60)
    with pytest.raises(UserError, match=r"--rivals: .*python cannot run the rivals: "):
        list_versions(broken)


def test_a_rival_that_fails_is_named_with_its_last_line(
    environment: Environment, notes: Path, tmp_path: Path
) -> None:
    with pytest.raises(RunError, match=r"LightGBM failed with exit status 1: ModuleNotFoundError"):
        run_rival(environment, build_problem(notes, tmp_path, "LightGBM"))


def test_a_rival_that_takes_too_long_is_stopped(
    notes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environments, "ALLOWANCE", 0)
    monkeypatch.setattr(environments, "MIN_SECONDS", 0)
    endless = find_environment(write_environment(tmp_path / "e", "exec cat"), 60)
    with pytest.raises(RunError, match="was stopped after 0 seconds"):
        run_rival(endless, build_problem(notes, tmp_path))


def test_a_rival_that_writes_nothing_is_told(notes: Path, tmp_path: Path) -> None:
    silent = find_environment(write_environment(tmp_path / "e", "exit 0"), 60)
    with pytest.raises(RunError, match=f"{TFIDF} ended without an answer"):
        run_rival(silent, build_problem(notes, tmp_path))


def test_the_runner_ends_with_the_process_that_started_it() -> None:
    code = "from runner.__main__ import exit_with_parent; exit_with_parent()"
    ended = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": str(FOLDER)}, stdin=subprocess.DEVNULL, timeout=60
    )
    assert ended.returncode == 1


def test_a_training_that_took_all_of_its_time_is_told(
    environment: Environment, notes: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "tailfuse"):
        run_rival(replace(environment, seconds=0), build_problem(notes, tmp_path))
    assert f"{TFIDF}: training took all of its 0 seconds" in caplog.text


# What is measured


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (np.array([[0.5, np.nan]]), "add up to nan"),
        (np.array([[0.5, 0.6]]), "add up to 1.1, expected 1"),
        (np.array([[-0.5, 1.5]]), "are -0.5 to 1.5 and"),
        (np.array([[np.inf, 0.0]]), "add up to inf"),
        (np.array([[1.0]]), r"answers an array \(1, 1\), expected \(1, 2\)"),
        (np.array([1.0, 0.0]), r"answers an array \(2,\)"),
    ],
)
def test_answers_that_are_no_probabilities_are_refused(found: np.ndarray, said: str) -> None:
    with pytest.raises(RunError, match=said):
        check_probabilities("X", found, (1, 2))
    check_probabilities("X", np.array([[0.25, 0.75]]), (1, 2))


@pytest.fixture(scope="module")
def measured(
    environment: Environment, notes: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[tuple[str, int], list[Result]]:
    """Both rivals on texts, and the bench's own regressions, with and without missing modalities."""
    out = tmp_path_factory.mktemp("out")
    found = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(datasets.DATASETS, NOTES.name, NOTES)
        for missing in (0, 30):
            for method in (TFIDF, LATE_TFIDF, LOGISTIC, LATE_LOGISTIC):
                task = make_task(notes, out, method, missing=missing, environment=environment)
                for _, results, bins in evaluate_task(task):
                    found[method, missing] = results
                    assert bins == []
    return found


@pytest.mark.parametrize("method", [TFIDF, LATE_TFIDF, LOGISTIC, LATE_LOGISTIC])
def test_all_measures_of_all_modalities_and_each_alone(
    measured: dict[tuple[str, int], list[Result]], method: str
) -> None:
    *clean, cost = measured[method, 0]
    assert [(each.subset, each.condition, each.rows) for each in clean] == [
        ("note+facts", "clean", 42), ("note", "clean", 42), ("facts", "clean", 42),
    ]  # fmt: skip
    best = clean[0].balanced_accuracy or 0
    assert best > 0.8
    assert (clean[2].balanced_accuracy or 0) < best
    assert all(each.few is not None and each.ece_debiased is not None for each in clean)
    assert (cost.subset, cost.condition) == ("note+facts", "cost")
    for value in (cost.train_seconds, cost.predict_microseconds, cost.size_bytes, cost.parameters):
        assert value is not None
        assert value > 0


@pytest.mark.parametrize("method", [TFIDF, LATE_TFIDF, LOGISTIC, LATE_LOGISTIC])
def test_missing_modalities_are_one_row_with_all_measures(
    measured: dict[tuple[str, int], list[Result]], method: str
) -> None:
    [result] = measured[method, 30]
    assert (result.subset, result.condition, result.rows) == ("note+facts", "missing_30", 42)
    assert 0.5 < (result.balanced_accuracy or 0) < 1
    for value in (result.nll, result.train_seconds, result.predict_microseconds, result.size_bytes):
        assert value is not None
        assert value > 0


def test_a_network_is_trained_and_measured_with_missing_modalities(notes: Path, tmp_path: Path) -> None:
    [(method, [result], bins)] = evaluate_task(make_task(notes, tmp_path, OURS, missing=30))
    assert (method, result.condition, result.rows, bins) == (OURS, "missing_30", 42, [])
    assert result.size_bytes is not None
    assert result.size_bytes > 1000


def test_the_size_of_a_network_leaves_frozen_encoders_out() -> None:
    network: Any = nn.ModuleDict({"head": nn.Linear(2, 2)})
    size = measure_weights(network)
    network["projection"] = LsaProjection(1000, 8)
    assert measure_weights(network) == size


def test_results_of_another_limit_or_share_are_made_anew(notes: Path, tmp_path: Path) -> None:
    slow, quick = (Environment(Path("python"), seconds) for seconds in (60, 30))
    tasks = [make_task(notes, tmp_path, TFIDF, environment=each) for each in (slow, quick)]
    assert tasks[0].fingerprint(TFIDF) != tasks[1].fingerprint(TFIDF)
    assert tasks[0].fingerprint(OURS) == tasks[1].fingerprint(OURS)
    missing = make_task(notes, tmp_path, TFIDF, missing=30, environment=slow)
    assert missing.fingerprint(TFIDF) != tasks[0].fingerprint(TFIDF)
    assert missing.file(OURS).parent.name == "notes-0-0-30"
    assert tasks[0].file(OURS).parent.name == "notes-0-0"
    assert str(missing.experiment) == "notes, original ratio, 30 % missing, seed 0"


def test_values_that_are_missing_leave_no_trace_in_what_is_fitted(notes: Path, tmp_path: Path) -> None:
    spec = make_task(notes, tmp_path, OURS).spec(OURS)
    whole, thinned = (
        load_rows(spec, Experiment(NOTES.name, 0, 0, percent)).dataset.modalities["facts"]
        for percent in (0, 30)
    )
    assert isinstance(spec, Spec)
    assert whole.model_dump() != thinned.model_dump()  # the means are those of fewer rows


@pytest.mark.slow
def test_the_whole_command_names_what_is_left_out(notes: Path, tmp_path: Path) -> None:
    environment = write_environment(tmp_path / "environment")
    options = ["--data", str(notes.parent), "--sets", NOTES.name, "--ir", "0", "--seeds", "0", "--jobs", "1"]
    methods = ["--methods", f"{LOGISTIC},CatBoost,{TFIDF}", "--missing", "0,30"]
    # The workers of a bench do not know the notes: their tasks run here.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "tailfuse_bench.run.run_all",
            lambda work, tasks, jobs, affinity: ((task, work(task)) for task in tasks),
        )
        told = CliRunner().invoke(
            main, ["bench", "--out", str(tmp_path / "out"), "--rivals", str(environment), *options, *methods]
        )
    assert told.exit_code == 0, told.output
    assert f"CatBoost is left out: it is not installed in {environment}" in told.output
    with (tmp_path / "out" / "results.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {(row["method"], row["condition"]) for row in rows} == {
        (method, condition) for method in (LOGISTIC, TFIDF) for condition in ("clean", "cost", "missing_30")
    }
    [session] = json.loads((tmp_path / "out" / "bench.json").read_text())["sessions"]
    assert session["rivals"]["versions"]["CatBoost"] is None
    assert session["rivals"]["seconds"] == 600
    assert "CatBoost" in (tmp_path / "out" / "report.md").read_text()


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], [*QUICK_METHODS]),
        (["--rivals"], [*QUICK_METHODS, TFIDF, LATE_TFIDF]),
        (["--rivals", "--methods", f"{LOGISTIC},TabM"], [LOGISTIC]),
    ],
)
def test_a_quick_bench_with_rivals_runs_those_that_are_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], expected: list[str]
) -> None:
    write_environment(tmp_path / ".venv-rivals")
    monkeypatch.chdir(tmp_path)
    asked: list[list[str]] = []

    def plan_nothing(*given: Any) -> list[Any]:
        asked.append(given[3])
        return []

    monkeypatch.setattr("tailfuse_bench.run.plan_tasks", plan_nothing)
    CliRunner().invoke(main, ["bench", "--quick", *options])
    assert sorted(asked[0]) == sorted(expected)
