"""Checkpoints in S3, by a real server of its protocol: another machine continues, with the same result."""

import logging
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tailfuse.errors import RunError
from tailfuse.training import run_copy
from tailfuse.training.run_copy import RunCopy, keep_copy
from tailfuse_service.bundle import sha256
from tailfuse_service.stores.fsspec_store import FsspecStore

from tests.support.exact_training import write_exact_spec
from tests.support.process import ran, until
from tests.support.stores import serve_s3

pytestmark = pytest.mark.needs("moto_server")

ADDRESS = "s3://runs/leaves"
COPIED = ["final.csv", "final.pt", "out-of-fold.npz", "run.json"]


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with serve_s3("runs") as variables:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        RunCopy(tmp_path, ADDRESS).clear()  # all servers of a process have the same buckets
        yield


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    folder.mkdir()
    for name in (
        "run.json",
        "final.pt",
        "final.csv",
        "out-of-fold.npz",
        ".lock",
        ".final.pt.1.part",
        "notes.txt",
    ):
        (folder / name).write_text(f"this is {name}")
    return folder


def list_names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


@pytest.mark.parametrize("scheme", ["s3", "file"])
def test_another_folder_gets_what_was_copied(server: None, run: Path, tmp_path: Path, scheme: str) -> None:
    address = ADDRESS if scheme == "s3" else f"file://{tmp_path}/copies/leaves"
    RunCopy(run, address).copy()
    other = tmp_path / "other"
    other.mkdir()
    RunCopy(other, address).begin(resume=True, overwrite=False)
    assert list_names(other) == COPIED
    assert all((other / name).read_text() == f"this is {name}" for name in COPIED)


def test_only_what_has_changed_is_copied_again(
    server: None, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy, seen = RunCopy(run, ADDRESS), list[str]()
    replace = copy._store.replace

    def note(store: FsspecStore, file: Path) -> None:
        seen.append(file.name)
        replace(file)

    monkeypatch.setattr(FsspecStore, "replace", note)
    copy.copy()
    assert seen == COPIED
    copy.copy()
    (run / "final.csv").write_text("one more line")
    copy.copy()
    assert seen == [*COPIED, "final.csv"]


def test_a_folder_that_holds_a_run_keeps_it(server: None, run: Path) -> None:
    copy = RunCopy(run, ADDRESS)
    copy.copy()
    (run / "final.pt").write_text("further on")
    copy.begin(resume=True, overwrite=False)
    assert (run / "final.pt").read_text() == "further on"


def test_a_copy_of_another_run_is_not_lost(server: None, run: Path, tmp_path: Path) -> None:
    RunCopy(run, ADDRESS).copy()
    other = RunCopy(tmp_path / "other", ADDRESS)
    with pytest.raises(RunError, match=f"{ADDRESS} holds a run already; continue it with --resume"):
        other.begin(resume=False, overwrite=False)
    other.begin(resume=False, overwrite=True)
    other.clear()
    other.begin(resume=False, overwrite=False)


def test_the_copy_is_made_while_the_training_runs_and_at_its_end(
    server: None, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_copy, "COPY_EVERY_S", 0.05)
    copy = RunCopy(run, ADDRESS)
    with keep_copy(copy):
        until(lambda: set(copy._store.list_files()) == set(COPIED), "the first copy is made")
        (run / "fold-0.pt").write_text("trained")
    assert "fold-0.pt" in copy._store.list_files()


def test_a_store_that_fails_is_warned_of_once_and_stops_nothing(
    run: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    copy = RunCopy(run, f"file://{tmp_path}/file/below")
    with caplog.at_level(logging.WARNING, "tailfuse"):
        copy.copy()
        copy.copy()
    assert len(caplog.records) == 1
    assert "checkpoints are not copied for now" in caplog.text
    (tmp_path / "file").unlink()
    copy.copy()
    assert list_names(tmp_path / "file/below") == COPIED


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("runs/leaves", "is no address of a folder; one begins with s3://"),
        ("https://runs/leaves", "is no address of a folder"),
        ("ftp://runs/leaves", "is not a known kind of address"),
        ("s3://user:secret@runs/leaves", "must not hold a user or a password"),
    ],
)
def test_another_address_is_refused(run: Path, address: str, message: str) -> None:
    with pytest.raises(RunError, match=f"--checkpoints: .*{message}"):
        RunCopy(run, address)


def test_a_bucket_that_is_not_there_is_told_before_the_training(server: None, run: Path) -> None:
    copy = RunCopy(run, "s3://nobody/leaves")
    copy.begin(resume=True, overwrite=False)
    with pytest.raises(RunError, match=r"--checkpoints: s3://nobody/leaves: "):
        copy.copy_first()


@pytest.mark.slow
@pytest.mark.e2e
def test_another_machine_continues_a_training_that_was_stopped(server: None, tmp_path: Path) -> None:
    spec = write_exact_spec(tmp_path, rows=200, epochs=3)
    first, second = tmp_path / "first", tmp_path / "second"

    def train(out: Path, *options: str) -> subprocess.CompletedProcess[str]:
        given = ("--accelerator", "cpu", "--checkpoints", ADDRESS, *options)
        return ran(
            sys.executable, "-m", "tailfuse", "train", str(spec), "--out", str(out), *given, timeout=600
        )

    done = train(first)
    assert done.returncode == 0, done.stderr
    bundle = {file.name: sha256(file) for file in (first / "bundle").iterdir()}
    store = RunCopy(first, ADDRESS)._store
    assert {"run.json", "final.pt", "fold-0.pt", "fold-1.pt", "trained.pt"} <= set(store.list_files())
    for name in ("trained.pt", "fold-1.pt"):
        store.remove(name)  # as if it had been stopped while the second fold was trained
    shutil.rmtree(first)

    refused = train(second)
    assert refused.returncode == 1
    assert f"{ADDRESS} holds a run already; continue it with --resume" in refused.stderr
    done = train(second, "--resume")
    assert done.returncode == 0, done.stderr
    assert {file.name: sha256(file) for file in (second / "bundle").iterdir()} == bundle
    assert "trained.pt" in store.list_files()
