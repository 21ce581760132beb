"""A trained bundle and another version of it, services that answer with them, Prometheus, and traffic.

with traffic(service) as callers:            # as_ever: samples in the training's shares
    callers.mood = noisy_pictures            # the camera goes bad
prometheus = scrape(service.url, rule_files=[...])
prometheus.query("tailfuse_ready")
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.asking import Inputs
from tests.support.monitoring.prometheus import Prometheus, start_prometheus
from tests.support.monitoring.rows import load_rows
from tests.support.monitoring.traffic import Traffic
from tests.support.monitoring.versions import copy_version


@pytest.fixture(scope="session")
def next_version(bundle_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same bundle under version 2."""
    return copy_version(bundle_folder, "2", tmp_path_factory.mktemp("bundles") / "next")


@pytest.fixture(scope="session")
def rows(quickstart: Path, bundle_folder: Path) -> tuple[list[Inputs], list[float]]:
    """The test rows' raw values, and how often each is sent: classes as frequent as in training."""
    return load_rows(quickstart, bundle_folder)


@pytest.fixture
def traffic(rows: tuple[list[Inputs], list[float]]) -> Callable[..., Traffic]:
    """`with traffic(service, per_second=…, mood=…) as callers`."""
    return lambda service, **options: Traffic(service.url, *rows, **options)


@pytest.fixture
def scrape(tmp_path: Path) -> Iterator[Callable[..., Prometheus]]:
    """Starts a Prometheus that scrapes these URLs: `scrape(url, …, scrape_s=1, rule_files=…)`."""
    started: list[Prometheus] = []

    def begin(*urls: str, **options: Any) -> Prometheus:
        targets = [url.removeprefix("http://") for url in urls]
        started.append(start_prometheus(tmp_path / f"prometheus-{len(started)}", targets, **options))
        return started[-1]

    yield begin
    for each in started:
        each.stop()
