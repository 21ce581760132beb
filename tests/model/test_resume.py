"""Killed at any moment, a run goes on and ends with the bundle of one that was not."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tailfuse_service.bundle import read_manifest, sha256

from tests.support.process import ran

pytestmark = pytest.mark.slow

DRIVER = Path(__file__).parents[1] / "support" / "killed_runs.py"
SPEC = """\
name: leaves
table: table.csv
label: label
split: split
modalities:
  picture: {kind: image, column: picture, size: [10, 8]}
  veins: {kind: tabular, columns: [length, angle, side]}
network: {width: 8}
training: {epochs: 3, batch_size: 32, folds: 2}
"""


def environment(hash_seed: str) -> dict[str, str]:
    same_day = {"SOURCE_DATE_EPOCH": "1785542400"}  # of the reports
    return {**os.environ, **same_day, "PYTHONHASHSEED": hash_seed, "OMP_NUM_THREADS": "1"} | {
        "PYTHONPATH": str(Path.cwd())
    }


@pytest.fixture(scope="module")
def spec(leaves_in: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = leaves_in(tmp_path_factory.mktemp("resume"), SPEC)
    return path


@pytest.fixture(scope="module")
def killed(spec: Path) -> Any:
    """What became of the runs of killed_runs.py; another process trains beside it."""
    command = [sys.executable, str(DRIVER), str(spec.parent), str(spec)]
    other = [sys.executable, "-m", "tailfuse", "train", str(spec), "--out", str(spec.parent / "other")]
    with subprocess.Popen(
        other, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment("2")
    ) as beside:
        done = ran(*command, timeout=300, env=environment("1"))
        assert beside.wait(300) == 0
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_every_moment_was_reached_and_every_run_was_gone_on_with(killed: Any) -> None:
    statuses = {moment: told["statuses"] for moment, told in killed.items()}
    assert statuses.pop("never") == [0]
    assert statuses.pop("exporting") == [-9, -9, 0]
    assert len(statuses) == 13
    assert set(map(tuple, statuses.values())) == {(-9, 0)}


def test_a_killed_run_ends_with_the_very_same_files(killed: Any) -> None:
    whole = killed["never"]["files"]
    stages = ("final", "fold-0", "fold-1")
    assert set(whole) == {
        "run.json",
        "trained.pt",
        "out-of-fold.npz",
        *(f"{s}.{kind}" for s in stages for kind in ("pt", "csv")),
    }
    differing = {
        (moment, file)
        for moment, told in killed.items()
        if moment != "exporting"
        for file in told["files"].keys() | whole.keys()
        if told["files"].get(file) != whole.get(file)
    }
    assert differing == set()


def test_a_killed_export_leaves_nothing_behind_once_gone_on_with(killed: Any) -> None:
    before, after = killed["never"]["files"], killed["exporting"]["files"]
    bundle = {"manifest.json", "model.onnx", "model.ts", "report.html", "MODEL_CARD.md"}
    assert after.keys() - before.keys() == {f"bundle/{name}" for name in bundle}


def test_the_same_seed_gives_the_same_bundle_in_another_process(killed: Any, spec: Any) -> None:
    """One was trained at a stretch, from the command line; the other's export was killed twice."""
    bundle = spec.parent / "other" / "bundle"
    read_manifest(bundle)
    for file in bundle.iterdir():
        assert sha256(file) == killed["exporting"]["files"][f"bundle/{file.name}"], file.name
