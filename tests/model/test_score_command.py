"""`tailfuse score`: statuses, figures as JSON, progress, a full disk, and the answers of POST /predict."""

import base64
import json
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from click.testing import CliRunner, Result
from PIL import Image
from rich.console import Console
from starlette.testclient import TestClient
from tailfuse.api import score as api
from tailfuse.cli import main
from tailfuse.cli.score_progress import show_progress
from tailfuse.scoring.answers import Counts
from tailfuse.scoring.estimate_rows import Plan, estimate_rows_per_byte
from tailfuse.scoring.journal import ShardRecord
from tailfuse.scoring.score_shard import Outcome, Task

from tests.support.scoring import list_files, run_here, write_shard


@pytest.fixture
def score(tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    monkeypatch.setattr(api, "run_in_processes", run_here)

    def run(*arguments: object) -> Result:
        command = ["score", tiny_bundle, *arguments, "--out", tmp_path / "out"]
        done = CliRunner().invoke(main, list(map(str, command)))
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        return done

    return run


def test_statuses_and_figures(score: Callable[..., Result], tmp_path: Path) -> None:
    fine = write_shard(tmp_path / "fine.parquet", [61, None])
    done = score(fine, "--json")
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert (told["shards"], told["scored"], told["kept"], told["failed"]) == (1, 1, 0, {})
    assert (told["rows"], told["answered"], told["without_modality"], told["errors"]) == (2, 1, 1, 0)
    assert sum(told["classes"].values()) == 1
    assert "1 shards scored, 0 kept; 2 rows in" in done.stderr
    assert "1 of 2 rows have no modality of this model" in done.stderr
    bad = write_shard(tmp_path / "bad.parquet", ["old"])
    done = score(fine, bad, "--json")
    assert done.exit_code == 3
    assert json.loads(done.stdout)["kept"] == 1
    assert "1 of 3 rows have an error; the first is bad.parquet, row 1: modality 'clinical'" in done.stderr
    (tmp_path / "no.parquet").write_bytes(b"PAR1")
    done = score(fine, bad, tmp_path / "no.parquet", "--json")
    assert done.exit_code == 1
    assert list(json.loads(done.stdout)["failed"]) == ["no.parquet"]
    assert done.stderr.splitlines()[-1].startswith(f"Error: 1 of 3 shards failed; the first is {tmp_path}/no")
    assert score(fine, "--processes", "0").exit_code == 2
    assert score().exit_code == 2
    assert score(tmp_path / "*.tsv").exit_code == 1


@contextmanager
def limit_file_size(n_bytes: int) -> Iterator[None]:
    """Let no file grow further, as on a full disk: the system's error is another one, its way is the same."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_ends_the_scoring_and_leaves_no_half_of_a_file(
    score: Callable[..., Result], tmp_path: Path
) -> None:
    large = write_shard(tmp_path / "in/large.parquet", range(20, 3020))
    small = write_shard(tmp_path / "in/small.parquet", [61])
    assert score(small).exit_code == 0
    before = list_files(tmp_path / "out")
    with limit_file_size(9000):
        done = score(large, small)
    assert done.exit_code == 1
    assert done.stderr.splitlines()[-1] == (
        f"Error: {tmp_path}/out/large.parquet: cannot be written: File too large; finished shards are kept, "
        "and the same command goes on with the others"
    )
    assert list_files(tmp_path / "out") == before
    with limit_file_size(300):  # not even the manifest can be written
        done = score(large, small)
    assert done.exit_code == 1
    assert "cannot be written: File too large" in done.stderr
    assert score(large, small).exit_code == 0
    assert len(pl.read_parquet(tmp_path / "out/large.parquet")) == 3000


@pytest.mark.parametrize("ending", [".parquet", ".csv", ".jsonl"])
def test_a_full_disk_is_an_error_of_predict_too(tiny_bundle: Path, tmp_path: Path, ending: str) -> None:
    table = write_shard(tmp_path / "large.parquet", range(20, 3020))
    out = tmp_path / f"answers{ending}"
    with limit_file_size(9000):
        done = CliRunner().invoke(main, ["predict", str(tiny_bundle), str(table), "--out", str(out)])
    assert done.exit_code == 1
    assert done.stderr.splitlines()[-1] == f"Error: {out}: cannot be written: File too large"
    assert list_files(tmp_path) == {"large.parquet"}


def test_the_name_of_the_answers_may_hold_a_bracket(tiny_bundle: Path, tmp_path: Path) -> None:
    table, out = write_shard(tmp_path / "a.parquet", [61]), tmp_path / "answers [1]*.parquet"
    done = CliRunner().invoke(main, ["predict", str(tiny_bundle), str(table), "--out", str(out)])
    assert done.exit_code == 0, done.exception
    assert len(pl.read_parquet(out, glob=False)) == 1


ROWS: list[dict[str, Any]] = [
    {"age": "61", "pulse": "70", "smoker": "true", "site": "back", "title": "dark", "review": "spot"},
    {"age": " 4e1", "pulse": None, "smoker": "0", "site": "nose", "title": None, "review": "é  round"},
    {"title": "dark", "review": "spot"},
    {"image": "a.png"},
    {"image": "a.png", "age": "20", "title": "x"},
    {},
    {"age": "old", "title": "dark"},
    {"image": "broken.png", "title": "dark"},
    {"smoker": "perhaps"},
    {"age": "1e999"},
]  # fmt: skip
COLUMNS = {"image": ("image",), "clinical": ("age", "pulse", "smoker", "site"), "notes": ("title", "review")}


def ask(client: TestClient, row: dict[str, Any], folder: Path) -> Any:
    """The answer of POST /predict to the cells of a row; the slug of the problem if there is none."""
    inputs: dict[str, Any] = {}
    for modality, columns in COLUMNS.items():
        cells = {name: row[name] for name in columns if row.get(name) is not None}
        if modality == "image":
            cells = {
                name: base64.b64encode((folder / cell).read_bytes()).decode() for name, cell in cells.items()
            }
        if cells:
            inputs[modality] = cells["image"] if modality == "image" else cells
    response = client.post("/predict", json={"inputs": inputs})
    answer = response.json()
    return answer if response.status_code == 200 else answer["type"].rpartition(":")[2]


def test_answers_are_those_of_the_service(
    score: Callable[..., Result], client: TestClient, tmp_path: Path
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    Image.new("RGB", (9, 7), (200, 30, 60)).save(folder / "a.png")
    (folder / "broken.png").write_bytes(b"no image")
    pl.DataFrame(ROWS, schema=dict.fromkeys(sum(COLUMNS.values(), ()), pl.String)).write_parquet(
        folder / "rows.parquet"
    )
    assert score(folder).exit_code == 3
    written = pl.read_parquet(tmp_path / "out/rows.parquet")
    problems = []
    for cells, row in zip(ROWS, written.iter_rows(named=True), strict=True):
        answer = ask(client, cells, folder)
        if isinstance(answer, str):
            problems.append(answer)
            assert row["label"] is None
            assert (row["error"] is None) == (answer == "missing-modality"), cells
            continue
        assert (row["error"], row["label"]) == (None, answer["label"])
        assert row["conflict"] == pytest.approx(answer.get("conflict"), abs=2e-6)
        for name, probability in answer["probabilities"].items():
            assert row[f"probability.{name}"] == pytest.approx(probability, abs=2e-6)
        for name, modality in answer["modalities"].items():
            assert row[f"weight.{name}"] == pytest.approx(modality["weight"], abs=2e-6)
            assert row[f"confidence.{name}"] == pytest.approx(modality["confidence"], abs=2e-6)
    assert problems == [
        "missing-modality", "invalid-input", "undecodable-image", "invalid-input", "invalid-input",
    ]  # fmt: skip


def end_shard(rows: int, n_bytes: int, *, kept: bool = False) -> Outcome:
    task = Task("a.parquet", Path("a"), Path("b"), Path("c"), n_bytes)
    record = ShardRecord(name="a.parquet", source="a", input_sha256="", output_sha256="", counts=Counts(rows))
    return Outcome(task, record, kept=kept)


def test_progress_has_rows_per_second_and_the_time_left() -> None:
    """Shards that are kept take no time; of rows that a killed process answered none is done."""
    times: list[float] = [0.0]
    console = Console(record=True, width=100, force_terminal=False)
    with show_progress(console, lambda: times[0]) as on_progress:
        on_progress(Plan(4, 4000, 0.5))
        times[0] = 10.0
        on_progress(100)
        on_progress(end_shard(500, 1000, kept=True))
        times[0] = 20.0
        on_progress(300)
        times[0] = 25.0
        on_progress(-100)
        times[0] = 40.0
        on_progress(end_shard(500, 1000))
    assert console.export_text().splitlines() == [
        "0 of 4 shards · 100 rows · 10 rows/s · about 0:03:10 left",
        "1 of 4 shards · 900 rows · 20 rows/s · about 0:00:55 left",
        "2 of 4 shards · 800 rows · 8 rows/s · about 0:02:40 left",
    ]


def test_rows_are_estimated_from_the_start_of_a_file(tmp_path: Path) -> None:
    table = write_shard(tmp_path / "a.parquet", range(100))
    assert estimate_rows_per_byte(table) == 100 / table.stat().st_size
    (tmp_path / "a.csv").write_text("age\n" + "61\n" * 999)
    assert estimate_rows_per_byte(tmp_path / "a.csv") == pytest.approx(1 / 3, rel=0.01)
    for name in ("a.csv.gz", "empty.csv", "none.parquet"):
        (tmp_path / "empty.csv").write_text("")
        assert estimate_rows_per_byte(tmp_path / name) is None
