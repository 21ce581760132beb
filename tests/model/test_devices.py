"""Several devices: two processes of the command line train one network."""

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from tailfuse import load
from tailfuse.training.state import read_log
from tailfuse_service.bundle import read_manifest, sha256

from tests.support.exact_training import write_exact_spec
from tests.support.known import known
from tests.support.process import ran, until

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

# A batch of six rows for two processes, and a note in every seventh row: often one of them has none.
SPEC = """\
name: leaves
table: table.csv
label: label
split: split
modalities:
  picture: {kind: image, column: picture, size: [10, 8]}
  note: {kind: text, columns: note, buckets: 32}
network: {width: 16}
training: {epochs: 8, batch_size: 6, folds: 2}
"""


def tailfuse(*arguments: str) -> subprocess.CompletedProcess[str]:
    """`tailfuse train` on two processes, from the console."""
    command = [
        sys.executable,
        "-m",
        "tailfuse",
        "train",
        *arguments,
        "--accelerator",
        "cpu",
        "--devices",
        "2",
    ]
    return ran(*command, timeout=300)


def sums(bundle: Path) -> dict[str, str]:
    return {file.name: sha256(file) for file in bundle.iterdir()}


@pytest.fixture(scope="module")
def ended(leaves_in: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The spec, the run's folder, and what the command said."""
    folder = tmp_path_factory.mktemp("devices")
    spec = leaves_in(folder, SPEC)
    lines = (folder / "table.csv").read_text().splitlines()
    rare = [line if row % 7 == 0 else line.rpartition(",")[0] + "," for row, line in enumerate(lines)]
    (folder / "table.csv").write_text("\n".join(rare) + "\n")
    return spec, folder / "run", tailfuse(str(spec), "--out", str(folder / "run"))


def test_two_processes_train_one_network_and_write_one_bundle(ended: Any) -> None:
    _, run, process = ended
    assert process.returncode == 0, process.stderr
    assert sorted(file.name for file in run.iterdir()) == [
        "bundle", "final.csv", "final.pt", "fold-0.csv", "fold-0.pt", "fold-1.csv", "fold-1.pt",
        "out-of-fold.npz", "run.json", "trained.pt",
    ]  # fmt: skip
    manifest = read_manifest(run / "bundle")
    assert known(manifest.metrics["as given"].balanced_accuracy) > 0.6
    assert max(manifest.parity.values()) <= 1e-4
    log = read_log(run / "final.csv")
    assert log[-1]["loss"] < log[0]["loss"]


def test_one_of_them_speaks(ended: Any) -> None:
    said = ended[2]
    assert said.stderr.count("training 8/8") == 1
    assert said.stderr.count("reading the table") == 1
    assert said.stdout.count("Bundle:") == 1
    assert "Traceback" not in said.stderr


def test_a_run_of_two_processes_is_gone_on_with(ended: Any) -> None:
    spec, run, _ = ended
    before = sums(run / "bundle")
    (run / "trained.pt").unlink()
    (run / "fold-1.pt").unlink()
    resumed = tailfuse(str(spec), "--out", str(run), "--resume")
    assert resumed.returncode == 0, resumed.stderr
    assert sums(run / "bundle") == before


def test_a_mistake_is_told_once(ended: Any) -> None:
    spec, run, _ = ended
    again = tailfuse(str(spec), "--out", str(run))
    assert again.returncode == 1
    assert again.stderr.count("holds a run already") == 1
    assert "Traceback" not in again.stderr


def run_exact(spec: Path, out: Path, *options: str) -> None:
    command = [
        sys.executable, "-m", "tailfuse", "train", str(spec), "--out", str(out),
        "--accelerator", "cpu", *options,
    ]  # fmt: skip
    done = ran(*command, timeout=300)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def exact(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A spec without random choices, and its run by one process."""
    folder = tmp_path_factory.mktemp("exact")
    spec = write_exact_spec(folder, rows=400, epochs=100, batch_size=31)
    run_exact(spec, folder / "one")
    return spec, folder / "one"


def measure_differences(one: Path, other: Path) -> dict[str, float]:
    """Measure the largest difference of a weight, and that of an answer to the table's rows."""
    first, second = (torch.load(run / "trained.pt") for run in (one, other))
    table = pl.read_parquet(one.parent / "table.parquet")
    answers = [load(run / "bundle").predict_proba(table) for run in (one, other)]
    return {
        "weights": max(float((first[name].float() - second[name].float()).abs().max()) for name in first),
        "answers": float(np.abs(answers[0] - answers[1]).max()),
    }


def test_two_processes_train_what_one_does(exact: tuple[Path, Path]) -> None:
    """Of the last batch one process has a row more than the other: each row counts alike."""
    spec, one = exact
    run_exact(spec, one.with_name("two"), "--devices", "2")
    differences = measure_differences(one, one.with_name("two"))
    assert differences["answers"] < 1e-4, differences


def test_after_one_process_is_killed_torchrun_starts_both_again_and_the_run_goes_on(
    exact: tuple[Path, Path], tmp_path: Path
) -> None:
    spec, one = exact
    killed = one.with_name("killed")
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
        "--max-restarts", "1", "-m", "tailfuse", "train", str(spec), "--resume", "--out", str(killed),
        "--accelerator", "cpu",
    ]  # fmt: skip
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        until((killed / "final.csv").exists, "a checkpoint is written")
        [second] = [each for each in list_children(process.pid) if read_variable(each, "RANK") == "1"]
        os.kill(second, signal.SIGKILL)
        assert process.wait(300) == 0, (tmp_path / "log").read_text()
    assert "exitcode: -9" in (tmp_path / "log").read_text()
    assert len(read_log(killed / "final.csv")) == len(read_log(one / "final.csv"))
    differences = measure_differences(one, killed)
    assert differences["answers"] < 1e-4, differences


def list_children(process: int) -> list[int]:
    children = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended meanwhile
            state = (folder / "stat").read_text().rpartition(")")[2].split()
            children += [int(folder.name)] if int(state[1]) == process else []
    return children


def read_variable(process: int, name: str) -> str | None:
    """Read a variable that a process was started with."""
    pairs = Path(f"/proc/{process}/environ").read_bytes().split(b"\0")
    values = dict(pair.decode().split("=", 1) for pair in pairs if b"=" in pair)
    return values.get(name)
