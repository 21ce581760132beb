"""The bench as a command: what it does, leaves behind, refuses, and goes on with."""

import csv
import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from tailfuse.cli import main
from tailfuse.errors import SpecError, UserError
from tailfuse_bench.datasets import DATASETS, DIGITS
from tailfuse_bench.methods import (
    ADAPTED,
    CALIBRATION_OVERRIDES,
    CONCAT,
    EXTRA_TREES,
    LATE_LOGISTIC,
    LOGISTIC,
    METHODS,
    OURS,
    RIVALS,
    SADE_MM,
    SADE_MM_WEIGHED,
    SPECIALIST,
    TREES,
)
from tailfuse_bench.records import Bin, Result
from tailfuse_bench.run import find_remaining, group_by_training, merge_results, plan_tasks
from tailfuse_bench.selection import QUICK_METHODS, select_datasets, select_methods
from tailfuse_bench.tasks import Experiment, Record, Task, read_record

from tests.support.process import ran

pytestmark = pytest.mark.slow

DRIVER = Path(__file__).parents[1] / "support" / "killed_bench.py"
WHOLE = "image+fourier+shape"
LINEAR = ["--sets", DIGITS.name, "--ir", "10", "--seeds", "0-4", "--methods", LOGISTIC, "--jobs", "1"]


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return ran(*arguments, timeout=300)


def bench(out: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return command(sys.executable, "-m", "tailfuse", "bench", "--out", str(out), *options)


def table(out: Path, name: str = "results.csv") -> list[dict[str, str]]:
    with (out / name).open(newline="") as file:
        return list(csv.DictReader(file))


def lasting(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    """Without what took how long."""
    return [row for row in rows if row["condition"] != "cost"]


@pytest.fixture(scope="module")
def linear(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bench of five quick cells that was not stopped."""
    out = tmp_path_factory.mktemp("linear")
    done = bench(out, *LINEAR)
    assert done.returncode == 0, done.stderr
    return out


def task(folder: Path, out: Path, *methods: str, ir: int = 50) -> Task:
    return Task(Experiment(DIGITS.name, ir, 0), methods, folder, out)


# What there is to do


def test_sets_stand_for_themselves_where_they_cannot_be_thinned() -> None:
    ratios = [1, 10, 50, 100]
    assert DATASETS["pie"].select_ratios(ratios) == [1, 10, 50, 100]
    assert DATASETS["rosmap"].select_ratios(ratios) == [0, 1, 10]
    assert DATASETS["ham10000"].select_ratios(ratios) == [0]
    assert DATASETS["ham10000"].select_ratios([1, 10]) == []
    assert DATASETS["pie"].select_ratios([0]) == [0]


def test_methods_that_differ_in_what_is_fitted_are_trained_together() -> None:
    groups = group_by_training(METHODS)
    assert groups[0] == (SPECIALIST,)
    assert {OURS, "uniform", "no damage in training", "no calibration"} <= set(groups[1])
    assert all(set(METHODS[name].overrides.items()) <= set(CALIBRATION_OVERRIDES) for name in groups[1])
    assert [group for group in groups[2:] if len(group) > 1] == [(SADE_MM, SADE_MM_WEIGHED)]
    assert sorted(name for group in groups for name in group) == sorted(METHODS)


def test_what_explains_the_headline_is_run_there_alone(digits: Path, tmp_path: Path) -> None:
    tasks = plan_tasks({DIGITS.name: digits}, [1, 50], [0, 1], list(METHODS), tmp_path)
    by_ratio = {
        ir: {method for task in tasks if task.experiment.ir == ir for method in task.methods}
        for ir in (1, 50)
    }
    everywhere = {name for name, method in METHODS.items() if not method.needs_text and not method.dataset}
    assert by_ratio[50] == everywhere
    ablations = {name for name, method in METHODS.items() if method.group == "ablation"}
    assert by_ratio[50] - by_ratio[1] == ablations | {SPECIALIST}


def test_every_method_is_a_valid_spec_of_every_set(tmp_path: Path) -> None:
    for name in DATASETS:
        for method in METHODS:
            spec = Task(Experiment(name, 50, 3), (method,), tmp_path, tmp_path).spec(method)
            assert spec.seed == 3


def test_a_wrong_override_is_named(digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = replace(METHODS[CONCAT], overrides={"network.fussion": "concat"})
    monkeypatch.setitem(METHODS, CONCAT, wrong)
    with pytest.raises(SpecError, match=r"digits, method 'concat': network.fussion: unknown key"):
        plan_tasks({DIGITS.name: digits}, [50], [0], [CONCAT], tmp_path)


def test_results_of_another_spec_or_table_are_made_anew(
    digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    todo = task(digits, tmp_path, LOGISTIC, ir=10)
    fingerprint = todo.fingerprint(LOGISTIC)
    Record(fingerprint, "code", 1.0, [todo.experiment.make_result(LOGISTIC)], []).write(todo.file(LOGISTIC))
    left, there = find_remaining([todo])
    assert (left, list(there)) == ([], [(todo.experiment, LOGISTIC)])

    other = replace(DIGITS, training={"epochs": 3})
    monkeypatch.setitem(DATASETS, DIGITS.name, other)
    assert todo.fingerprint(LOGISTIC) != fingerprint
    assert find_remaining([todo]) == ([todo], {})
    monkeypatch.undo()

    elsewhere = tmp_path / DIGITS.name
    elsewhere.mkdir()
    (elsewhere / "table.parquet").write_bytes((digits / "table.parquet").read_bytes() + b" ")
    assert replace(todo, folder=elsewhere).fingerprint(LOGISTIC) != fingerprint


def test_of_methods_trained_together_only_the_missing_are_left(digits: Path, tmp_path: Path) -> None:
    todo = task(digits, tmp_path, OURS, "uniform")
    Record(todo.fingerprint(OURS), "code", 1.0, [todo.experiment.make_result(OURS)], []).write(
        todo.file(OURS)
    )
    [left], _ = find_remaining([todo])
    assert left.methods == ("uniform",)


def test_a_damaged_result_counts_as_none(digits: Path, tmp_path: Path) -> None:
    todo = task(digits, tmp_path, LOGISTIC)
    todo.file(LOGISTIC).parent.mkdir(parents=True)
    for text in ("", "{}", "[]", '{"fingerprint": "x", "results": [], "bins": []}'):
        todo.file(LOGISTIC).write_text(text)
        assert read_record(todo.file(LOGISTIC)) is None
        assert find_remaining([todo]) == ([todo], {})
    merge_results(tmp_path)
    assert table(tmp_path) == []


# The command


def test_the_whole_command_on_what_is_shipped(tmp_path: Path) -> None:
    options = ("--quick", "--seeds", "3", "--methods", f"{OURS},{TREES}")
    done = bench(tmp_path, *options)
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith("2 of 2 results to compute, ")
    assert "2/2 digits, IR 50, seed 3: " in done.stderr
    assert re.search(r"^Took \d+ (s|min)\.$", done.stderr, re.MULTILINE)
    assert 'class="status' not in (tmp_path / "report.html").read_text()
    rows = table(tmp_path)
    assert tuple(rows[0]) == Result._fields
    assert tuple(table(tmp_path, "reliability.csv")[0]) == Bin._fields
    assert {(row["set"], row["ir"], row["seed"]) for row in rows} == {(DIGITS.name, "50", "3")}
    assert {row["method"] for row in rows} == {OURS, ADAPTED, TREES}
    best = {row["method"]: float(row["balanced_accuracy"]) for row in reversed(rows) if row["subset"] == WHOLE
            and row["condition"] == "clean" and not row["modality"]}  # fmt: skip
    assert best[OURS] > best[TREES] > 0.5
    assert "tailfuse" in (tmp_path / "report.md").read_text()
    log = json.loads((tmp_path / "bench.json").read_text())
    assert [session["jobs"] for session in log["sessions"]] == [os.cpu_count()]


@pytest.mark.parametrize(("name", "status"), [("SIGKILL", -9), ("SIGINT", 130)])
def test_a_stopped_bench_goes_on_where_it_was(linear: Path, tmp_path: Path, name: str, status: int) -> None:
    stopped = command(
        sys.executable, str(DRIVER), name, "2", "bench", "--out", str(tmp_path), "--no-report", *LINEAR
    )
    assert stopped.returncode == status, stopped.stderr
    before = {file: file.stat().st_mtime_ns for file in tmp_path.glob("cells/*/*.json")}
    assert 2 <= len(before) <= 3  # the third was under way
    if name == "SIGINT":
        assert {row["seed"] for row in table(tmp_path)} == {"0", "1"}
        assert "the same command continues" in stopped.stderr
    again = bench(tmp_path, *LINEAR)
    assert again.returncode == 0, again.stderr
    assert lasting(table(tmp_path)) == lasting(table(linear))
    assert {file: file.stat().st_mtime_ns for file in before} == before
    assert not list(tmp_path.glob("cells/*/.*"))


def test_what_is_done_is_not_done_again(linear: Path) -> None:
    tables = [(linear / name).read_bytes() for name in ("results.csv", "reliability.csv", "report.html")]
    log = (linear / "bench.json").read_bytes()
    again = bench(linear, *LINEAR)
    assert again.returncode == 0
    assert "logistic regression:" not in again.stderr
    assert tables == [
        (linear / name).read_bytes() for name in ("results.csv", "reliability.csv", "report.html")
    ]
    assert (linear / "bench.json").read_bytes() == log


def test_a_run_that_fails_is_named_and_stops_no_other(tmp_path: Path) -> None:
    """SMOTE cannot interpolate pictures."""
    failed = bench(tmp_path, "--quick", "--seeds", "0", "--methods", f"SMOTE,{LOGISTIC}")
    assert failed.returncode == 1
    assert "failed: digits, IR 50, seed 0: SMOTE: SpecError: training.smote: modality 'image'" in " ".join(
        failed.stderr.split()
    )
    assert "1 of the runs failed" in failed.stderr
    assert {row["method"] for row in table(tmp_path)} == {LOGISTIC}
    assert "Traceback" in (tmp_path / "cells" / "digits-50-0" / "SMOTE.failed.txt").read_text()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--sets", "digit"], "--sets: there is no dataset 'digit'; did you mean 'digits'?"),
        (["--sets", "digits", "--methods", "conkat"], "there is no method or group 'conkat'; did you mean"),
        (["--methods", "x"], "--methods: there is no method or group 'x'; expected one of tailfuse, "),
        ([], "--data: needed; it is the folder of the datasets (--quick"),
        (["--sets", "pie"], "--data: needed; it is the folder that contains 'pie'"),
        (
            ["--data", "."],
            "--data: . contains no dataset; expected a folder with a spec.yaml, or one named cub, ",
        ),
        (["--data", ".", "--sets", "pie"], "--sets: pie/table.parquet: no such file"),
        (["--data", "nowhere"], "Directory 'nowhere' does not exist"),
        (["--ir", "ten"], "'ten' is neither an integer nor a range such as 0-4"),
        (["--seeds", "4-0"], "'4-0' is neither"),
        (["--seeds", ","], "at least one number is required"),
        (["--jobs", "0"], "0 is not in the range"),
        (["--quick", "--methods", "CatBoost"], "--methods: 'CatBoost' needs --rivals"),
        (["--quick", "--methods", "rivals"], "--methods: 'rivals' needs --rivals"),
        (["--quick", "--rivals"], "--rivals: .venv-rivals/bin/python: no such file; make the environment"),
        (["--quick", "--missing", "0,60"], "--missing: 60 % is too much; expected at most 50"),
        (["--quick", "--missing", "some"], "'some' is neither an integer nor a range"),
        (["--quick", "--ir", "1", "--methods", SPECIALIST], "nothing to do: "),
    ],
)
def test_a_wrong_argument_is_told_at_once(
    options: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    told = CliRunner().invoke(main, ["bench", *options])
    assert told.exit_code != 0
    assert said in told.output
    assert not list(tmp_path.glob("**/results.csv"))


def test_methods_are_chosen_by_name_or_group_in_their_own_order() -> None:
    rivals = [name for name, method in METHODS.items() if method.group == RIVALS]
    assert select_methods([]) == [name for name in METHODS if name not in rivals]
    assert select_methods([], rivals=True) == list(METHODS)
    assert select_methods([RIVALS, OURS], rivals=True) == [OURS, *rivals]
    assert select_methods([TREES, OURS]) == [OURS, TREES]
    assert select_methods(["not neural"]) == [LOGISTIC, LATE_LOGISTIC, TREES, EXTRA_TREES]
    assert set(QUICK_METHODS) <= set(METHODS)


def test_without_names_all_sets_of_the_folder_are_meant(tmp_path: Path) -> None:
    for name in ("wiki", "pie", "notes"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "table.parquet").touch()
    assert select_datasets([], tmp_path, tmp_path / "out") == {
        name: tmp_path / name for name in ("pie", "wiki")
    }
    with pytest.raises(UserError, match="no such file"):
        select_datasets(["cub"], tmp_path, tmp_path / "out")
