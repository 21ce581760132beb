"""Commands never run a file of the user's that has the name of a package."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.support.process import TIMEOUT_S, Service, environment, ran, until, whole_lines

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

TAILFUSE = str(Path(sys.executable).with_name("tailfuse"))
# The last four would hide modules that tailfuse and its libraries import.
NAMES = ("model", "service", "tests", "docker", "client", "benchmarks", "json", "queue", "random", "torch")


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Each file leaves a trace when it is run."""
    for name in NAMES:
        (tmp_path / f"{name}.py").write_text(
            f"open('{name}-was-run', 'w').close()\nraise SystemExit('{name}')\n"
        )
    yield tmp_path
    assert list(tmp_path.glob("*-was-run")) == []


def test_demo_trains_and_exports(folder: Path) -> None:
    done = ran(TAILFUSE, "demo", "--no-serve", cwd=folder, timeout=600)
    assert done.returncode == 0, done.stderr
    assert (folder / "quickstart" / "run" / "bundle" / "manifest.json").exists()


def test_train_evaluate_and_predict(folder: Path, quickstart: Path) -> None:
    short = ("--set", "training.epochs=1", "--set", "training.folds=2")
    train = ran(
        TAILFUSE, "train", str(quickstart / "spec.yaml"), "--out", "run", *short, cwd=folder, timeout=600
    )
    assert train.returncode == 0, train.stderr
    table = str(quickstart / "table.csv")
    assert ran(TAILFUSE, "evaluate", "run/bundle", table, cwd=folder, timeout=600).returncode == 0
    predict = ran(TAILFUSE, "predict", "run/bundle", table, "--out", "answers.csv", cwd=folder, timeout=600)
    assert predict.returncode == 0, predict.stderr


@pytest.mark.parametrize("program", [(TAILFUSE, "serve"), (sys.executable, "-P", "-m", "tailfuse_service")])
def test_two_workers_serve(folder: Path, tiny_bundle: Path, program: tuple[str, ...]) -> None:
    log = folder / "service.log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [*program, str(tiny_bundle), "--port", "0", "--workers", "2"],
            cwd=folder, stdin=subprocess.DEVNULL, stdout=file, stderr=file, env=environment(),
        )  # fmt: skip
    try:
        until(
            lambda: (
                process.poll() is not None
                or sum(line["message"] == "worker started" for line in whole_lines(log)) == 2
            ),
            "both workers answer",
        )
        (url,) = (line["url"] for line in whole_lines(log) if line["message"] == "started")
        answer = httpx2.post(f"{url}/predict", json={"inputs": {"notes": "spot"}}, trust_env=False)
        assert answer.status_code == 200, answer.text
        assert Service(process, url, log).stop(signal.SIGTERM) == 0
    finally:
        if process.poll() is None:
            process.kill()
            process.wait(TIMEOUT_S)
