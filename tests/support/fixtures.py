"""Fixtures of several folders: the quick-start trained once, and applications around the tiny bundle."""

import fcntl
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from starlette.testclient import TestClient
from tailfuse_service.app import create_app
from tailfuse_service.bundle import Bundle
from tailfuse_service.settings import Settings

from tests.support.clients import ClientOf, encoded
from tests.support.process import Service, environment, ran, start_service


def made_once(tmp_path_factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """Make a folder in one of the processes that run tests side by side; the others wait for it."""
    root = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent
    folder, done = root / name, root / f"{name}.done"
    with (root / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            make(folder)
            done.touch()
    return folder


@pytest.fixture(scope="session")
def quickstart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The quick-start's folder: table.csv, spec.yaml, images, example requests, and a run."""
    return made_once(tmp_path_factory, "quickstart", train_quickstart)


def train_quickstart(folder: Path) -> None:
    from tailfuse.quickstart.quickstart import write_quickstart  # not on the base install

    write_quickstart(folder)
    done = ran(
        sys.executable, "-m", "tailfuse", "train", str(folder / "spec.yaml"), "--out", str(folder / "run"),
        "--set", "training.epochs=8", "--set", "training.folds=2",
        timeout=600, env=environment(OMP_NUM_THREADS="1"),  # more would only wait for each other
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="session")
def run(quickstart: Path) -> Path:
    """The folder of a short training."""
    return quickstart / "run"


@pytest.fixture(scope="session")
def bundle_folder(run: Path) -> Path:
    return run / "bundle"


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


@pytest.fixture
def make_client(tiny_bundle: Path) -> Iterator[ClientOf]:
    """Makes a started client of an application with these settings; `bundle=None` is one without."""
    clients: list[TestClient] = []

    def start(bundle: Bundle | None, **settings: Any) -> TestClient:
        app = create_app(Settings(bundle=tiny_bundle, **settings), *([bundle] if bundle else []))
        client = TestClient(app, raise_server_exceptions=False).__enter__()
        clients.append(client)
        return client

    yield start
    for client in clients:
        client.__exit__()


@pytest.fixture
def client(make_client: ClientOf, bundle: Bundle) -> TestClient:
    """An application with the tiny bundle and the default settings."""
    return make_client(bundle)


@pytest.fixture
def picture() -> bytes:
    """A small PNG."""
    return encoded(Image.linear_gradient("L").resize((20, 20)).convert("RGB"))
