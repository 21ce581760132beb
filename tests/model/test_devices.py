"""Several devices: two processes of the command line train one network."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tailfuse.training.state import read_log
from tailfuse_service.bundle import read_manifest, sha256

from tests.support.known import known

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
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


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
