"""A folder with a spec is a dataset of the bench too."""

import csv
from pathlib import Path

import pytest
from click.testing import CliRunner
from tailfuse.cli import main
from tailfuse.errors import SpecError, UserError
from tailfuse_bench.datasets import find_dataset
from tailfuse_bench.methods import LATE_LOGISTIC, LOGISTIC
from tailfuse_bench.run import plan_tasks
from tailfuse_bench.selection import select_datasets
from tailfuse_bench.tasks import Experiment, Task

from tests.support.own_dataset import PARTS_SPEC, write_parts

TFIDF = "TF-IDF logistic regression"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder of datasets: one of the user's own, and a folder that is none."""
    write_parts(tmp_path / "data" / "parts")
    (tmp_path / "data" / "notes").mkdir()
    return tmp_path / "data"


def test_it_is_found_by_the_name_of_its_folder(data: Path, tmp_path: Path) -> None:
    assert select_datasets([], data, tmp_path) == {"parts": data / "parts"}
    assert select_datasets(["parts"], data, tmp_path) == {"parts": data / "parts"}
    with pytest.raises(UserError, match="there is no dataset 'part'; did you mean 'parts'"):
        select_datasets(["part"], data, tmp_path)


def test_a_folder_of_a_known_name_is_the_known_dataset(data: Path, tmp_path: Path) -> None:
    write_parts(data / "pie")
    with pytest.raises(UserError, match=r"--sets: .*pie/table.parquet: no such file"):
        select_datasets(["pie"], data, tmp_path)


def test_it_keeps_its_class_frequencies(data: Path) -> None:
    own = find_dataset("parts", data / "parts")
    assert own.select_ratios([1, 10, 50, 100]) == [0]
    assert own.select_ratios([0]) == [0]


def test_a_methods_keys_come_on_top_of_its_spec(data: Path, tmp_path: Path) -> None:
    task = Task(Experiment("parts", 0, 4), ("concat",), data / "parts", tmp_path)
    spec = task.spec("concat", ["words"])
    assert (spec.label, spec.seed, spec.training.epochs, spec.network.fusion) == ("kind", 4, 3, "concat")
    assert list(spec.modalities) == ["words"]
    assert spec.table == data / "parts" / "rows.csv"


def test_results_of_another_table_are_made_anew(data: Path, tmp_path: Path) -> None:
    task = Task(Experiment("parts", 0, 0), (LOGISTIC,), data / "parts", tmp_path)
    write_parts(data / "other")
    (data / "other" / "rows.csv").write_text((data / "parts" / "rows.csv").read_text() + "nut,3.0,1,a nut\n")
    other = Task(Experiment("parts", 0, 0), (LOGISTIC,), data / "other", tmp_path)
    assert task.fingerprint(LOGISTIC) != other.fingerprint(LOGISTIC)


def test_methods_for_raw_text_run_on_it(data: Path, tmp_path: Path) -> None:
    folders = select_datasets([], data, tmp_path)
    tasks = plan_tasks(folders, [0], [0], [TFIDF], tmp_path)
    assert [task.methods for task in tasks] == [(TFIDF,)]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("label: kind", "kind: kind", r"spec.yaml:3: kind: unknown key"),
        ("rows.csv", "none.csv", r"spec.yaml: table: .*none.csv: no such file"),
        ("rows.csv", "../notes", r"spec.yaml: table: .*notes: is a folder; the bench needs one file"),
    ],
)
def test_a_mistake_in_its_spec_is_told_before_anything_runs(
    old: str, new: str, said: str, data: Path, tmp_path: Path
) -> None:
    (data / "parts" / "spec.yaml").write_text(PARTS_SPEC.replace(old, new))
    with pytest.raises((SpecError, UserError), match=said):
        select_datasets([], data, tmp_path)


@pytest.mark.slow
def test_the_command_compares_methods_on_it(data: Path, tmp_path: Path) -> None:
    methods = f"tailfuse,{LOGISTIC},{LATE_LOGISTIC}"
    arguments = ["bench", "--data", str(data), "--out", str(tmp_path / "out"), "--seeds", "0", "-j", "1"]
    done = CliRunner().invoke(main, [*arguments, "--methods", methods])
    assert done.exit_code == 0, done.output
    with (tmp_path / "out" / "results.csv").open(newline="") as file:
        rows = [
            row
            for row in csv.DictReader(file)
            if row["subset"] == "size+words" and row["condition"] == "clean" and not row["modality"]
        ]
    best = {row["method"]: float(row["balanced_accuracy"]) for row in rows}
    assert {(row["set"], row["ir"]) for row in rows} == {("parts", "0")}
    assert best.keys() >= {"tailfuse", LOGISTIC, LATE_LOGISTIC}
    assert best[LOGISTIC] > 0.9
    assert "parts" in (tmp_path / "out" / "report.md").read_text()
