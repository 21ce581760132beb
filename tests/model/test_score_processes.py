"""Processes that score shards: one that is killed, one that cannot start, and none that stays behind."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
import tailfuse
from tailfuse.errors import RunError
from tailfuse.scoring import processes
from tailfuse.scoring.processes import Worker
from tailfuse.scoring.score_shard import Outcome, Setup, Task
from tailfuse_service.bundle import BundleError, hash_manifest, open_bundle

from tests.support.process import environment, until
from tests.support.scoring import list_files, write_shard

MARK = "MARK_OF_THE_TEST"


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    for at in range(4):
        write_shard(tmp_path / f"in/{at}.parquet", range(20, 1525 + at))
    return tmp_path / "in"


def find_marked(mark: str) -> list[int]:
    """Return the processes whose environment has the mark."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            marked = f"{MARK}={mark}".encode() in (entry / "environ").read_bytes().split(b"\0")
        except OSError:
            continue  # it has ended
        if marked and int(entry.name) != os.getpid():
            found.append(int(entry.name))
    return found


def kill_workers(monkeypatch: pytest.MonkeyPatch, n_killed: int) -> list[Worker]:
    """Kill the first processes right after their start. The list gets all that are started."""
    started: list[Worker] = []
    start = processes.start_worker

    def start_and_kill(setup: Setup) -> Worker:
        worker = start(setup)
        started.append(worker)
        if len(started) <= n_killed:
            os.kill(worker.child.process.pid, signal.SIGKILL)
        return worker

    monkeypatch.setattr(processes, "start_worker", start_and_kill)
    return started


def test_a_process_that_is_killed_costs_no_answers(
    tiny_bundle: Path, shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = kill_workers(monkeypatch, 1)
    events: list[object] = []
    scoring = tailfuse.score(tiny_bundle, shards, tmp_path / "out", processes=2, on_progress=events.append)
    assert len(started) == 3
    assert len(scoring.records) == 4
    assert sum(event for event in events if isinstance(event, int)) == scoring.counts.rows == 6026
    assert sum(isinstance(event, Outcome) for event in events) == 4
    assert all(worker.child.process.poll() is not None for worker in started)
    for at in range(4):
        rows = pl.read_parquet(tmp_path / f"out/{at}.parquet")["row"]
        assert rows.to_list() == list(range(1, 1506 + at))


def test_a_shard_that_kills_its_process_twice_has_failed(
    tiny_bundle: Path, shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = kill_workers(monkeypatch, 2)
    with pytest.raises(tailfuse.ScoringError) as caught:
        tailfuse.score(tiny_bundle, shards, tmp_path / "out", processes=1)
    [(name, why)] = caught.value.scoring.failed.items()
    assert why == (
        f"{shards / name}: the process that scored it was killed (SIGKILL), 2 times; with fewer --processes "
        "each has more memory"
    )
    assert len(started) == 3
    assert len(caught.value.scoring.records) == 3


def test_a_process_that_cannot_start_ends_the_scoring(
    tiny_bundle: Path,
    shards: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "modules"))
    (tmp_path / "modules/onnxruntime").mkdir(parents=True)
    (tmp_path / "modules/onnxruntime/__init__.py").write_text("raise SystemExit('no runtime here')")
    for name in ("model", "service"):  # of a checkout that is not installed
        monkeypatch.setenv("PYTHONPATH", f"{os.environ['PYTHONPATH']}:{Path(__file__).parents[2] / name}")
    with pytest.raises(RunError, match="ended with exit status 1; the lines above say why"):
        tailfuse.score(tiny_bundle, shards, tmp_path / "out", processes=1)
    assert "no runtime here" in capfd.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_bundle_that_is_replaced_meanwhile_ends_the_scoring(tiny_bundle: Path, tmp_path: Path) -> None:
    setup = Setup(tiny_bundle, "another", None, "onnx", ())
    task = Task("a.parquet", tmp_path / "a", tmp_path / "b", tmp_path / "c", 1)
    with pytest.raises(BundleError, match="was replaced while shards were scored"):
        list(processes.run_in_processes(setup, [task], 1))


def test_a_closed_iterator_leaves_no_process(
    tiny_bundle: Path, shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = kill_workers(monkeypatch, 0)
    setup = Setup(tiny_bundle, hash_manifest(open_bundle(tiny_bundle).manifest), None, "onnx", ())
    tasks = [
        Task(path.name, path, tmp_path / f"{path.name}", tmp_path / "no", 1) for path in shards.iterdir()
    ]
    events = processes.run_in_processes(setup, tasks, 2)
    assert next(events) == 1024
    events.close()  # type: ignore[attr-defined]
    assert [worker.child.process.poll() for worker in started] == [-signal.SIGKILL] * 2


SCRIPT = """
import os, signal, sys
import tailfuse
from tailfuse.scoring.score_shard import Outcome

def die(event):
    if isinstance(event, Outcome):
        os.kill(os.getpid(), signal.SIGKILL)

tailfuse.score(sys.argv[1], sys.argv[2], sys.argv[3], processes=2, on_progress=die)
"""


def test_a_scoring_that_is_killed_goes_on_and_its_processes_end(
    tiny_bundle: Path, shards: Path, tmp_path: Path
) -> None:
    """The script has no `if __name__ == "__main__"`, which would start it again in each process."""
    out = tmp_path / "out"
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    killed = subprocess.run(
        [sys.executable, script, tiny_bundle, shards, out],
        env=environment(**{MARK: str(tmp_path)}),
        timeout=120,
    )
    assert killed.returncode == -signal.SIGKILL
    until(lambda: not find_marked(str(tmp_path)), "the processes have ended")
    assert len(list(out.glob("*.parquet"))) == 1
    scoring = tailfuse.score(tiny_bundle, shards, out, processes=2)
    assert (scoring.kept, len(scoring.records)) == (1, 4)
    assert list_files(out) == {"_score.jsonl", *(f"{at}.parquet" for at in range(4))}
    tailfuse.score(tiny_bundle, shards, tmp_path / "whole", processes=2)
    for at in range(4):
        written = (out / f"{at}.parquet").read_bytes()
        assert written == (tmp_path / "whole" / f"{at}.parquet").read_bytes()
