"""What is measured of the answers of rivals."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from tailfuse.cli import main
from tailfuse.errors import RunError
from tailfuse.modalities.text.lsa import LsaProjection
from tailfuse.spec.schema import Spec
from tailfuse_bench import datasets
from tailfuse_bench.experiment import evaluate_task
from tailfuse_bench.methods import LATE_LOGISTIC, LOGISTIC, OURS
from tailfuse_bench.records import Result
from tailfuse_bench.rivals.environment import Environment
from tailfuse_bench.rivals.evaluate import check_probabilities
from tailfuse_bench.rows import load_rows
from tailfuse_bench.selection import QUICK_METHODS
from tailfuse_bench.tasks import Experiment
from tailfuse_bench.training import measure_weights
from torch import nn

from tests.support.rivals import (
    LATE_TFIDF,
    NOTES,
    TFIDF,
    make_task,
    write_environment,
)

pytestmark = pytest.mark.usefixtures("known_notes")


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
