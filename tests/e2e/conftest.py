"""One small model, trained once through the command line, and real services that answer with it."""

import csv
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tailfuse.quickstart.quickstart import write_quickstart
from tailfuse_service.bundle import Bundle, open_bundle

from tests.e2e.process import PATIENCE_S, Service, environment, ran, start_service


@pytest.fixture(scope="session")
def quickstart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The quick-start's folder: table.csv, spec.yaml, images and example requests."""
    folder = tmp_path_factory.mktemp("e2e") / "quickstart"
    write_quickstart(folder)
    return folder


@pytest.fixture(scope="session")
def run(quickstart: Path) -> Path:
    """The folder of a short training."""
    folder = quickstart / "run"
    done = ran(
        sys.executable, "-m", "tailfuse", "train", str(quickstart / "spec.yaml"), "--out", str(folder),
        "--set", "training.epochs=8", "--set", "training.folds=2",
        timeout=600, env=environment(OMP_NUM_THREADS="1"),  # more would only wait for each other
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="session")
def bundle_folder(run: Path) -> Path:
    return run / "bundle"


@pytest.fixture(scope="session")
def digits(bundle_folder: Path) -> Bundle:
    """The bundle opened here: what every answer is compared with."""
    return open_bundle(bundle_folder)


@pytest.fixture(scope="session")
def samples(quickstart: Path) -> list[dict[str, Any]]:
    """The raw values of a dozen test rows."""
    with (quickstart / "table.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "test"]
    return [raw_values(row, quickstart) for row in rows[:: len(rows) // 12][:12]]


def raw_values(row: dict[str, str], folder: Path) -> dict[str, Any]:
    numbers = {name: float(value) for name, value in row.items() if name[:4] in ("fou_", "zer_", "mor_")}
    return {
        "image": (folder / row["image"]).read_bytes(),
        "fourier": {name: value for name, value in numbers.items() if name.startswith("fou_")},
        "shape": {name: value for name, value in numbers.items() if not name.startswith("fou_")},
    }


@pytest.fixture(scope="session")
def service(bundle_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The service that most tests talk to."""
    started = start_service(bundle_folder, log=tmp_path_factory.mktemp("log") / "service.log")
    yield started
    assert started.stop() == 0


@pytest.fixture(scope="session")
def client(service: Service) -> Iterator[httpx2.Client]:
    with client_of(service) as client:
        yield client


def client_of(service: Service) -> httpx2.Client:
    limits = httpx2.Limits(max_connections=64)
    return httpx2.Client(base_url=service.url, timeout=PATIENCE_S, limits=limits, trust_env=False)


@pytest.fixture
def start(tmp_path: Path, bundle_folder: Path) -> Iterator[Callable[..., Service]]:
    """Starts a service of the test's own; `start(*flags, bundle=...)`. Those left running are killed."""
    started: list[Service] = []

    def begin(*flags: str, bundle: Path = bundle_folder) -> Service:
        service = start_service(bundle, *flags, log=tmp_path / f"service-{len(started)}.log")
        started.append(service)
        return service

    yield begin
    for each in started:
        if each.process.poll() is None:
            each.process.kill()
            each.process.wait()
