"""One small model, trained once through the command line, and real services that answer with it."""

import csv
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tailfuse_service.bundle import Bundle, open_bundle

from tests.support.clients import http_client
from tests.support.deployment import Deployment
from tests.support.process import Service, start_service
from tests.support.quickstart import raw_values


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


@pytest.fixture(scope="session")
def client(service: Service) -> Iterator[httpx2.Client]:
    with http_client(service) as client:
        yield client


@pytest.fixture(scope="session")
def service(bundle_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The service that most tests talk to."""
    started = start_service(bundle_folder, log=tmp_path_factory.mktemp("log") / "service.log")
    yield started
    assert started.stop() == 0


@pytest.fixture
def deploy(tmp_path: Path) -> Iterator[Callable[..., Deployment]]:
    made: list[Deployment] = []

    def begin(target: Path, *flags: str) -> Deployment:
        made.append(Deployment(tmp_path / "served", target, *flags))
        return made[-1]

    yield begin
    for each in made:
        each.kill()
