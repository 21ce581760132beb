"""A tiny bundle, made without torch, and a runtime that does as it is told."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from tailfuse_service.bundle import (
    Bundle,
    open_bundle,
)
from tailfuse_service.bundle.manifest import ClassInfo
from tailfuse_service.modalities import TabularModality
from tailfuse_service.modalities.tabular import NumberColumn

from tests.support.bundles import MODALITIES, FakeRuntime, tiny_graph, tiny_manifest, write_tiny_bundle
from tests.support.programs import leave_out, summarise

pytest_plugins = ["tests.support.fixtures"]

# How long an example takes depends on the machine, and on what else it does.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    leave_out(items)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    skipped = terminalreporter.stats.get("skipped", [])
    line = summarise(report.longrepr[2] for report in skipped if isinstance(report.longrepr, tuple))
    if line is not None:
        terminalreporter.write_line(line, yellow=True)


@pytest.fixture(scope="session", autouse=True)
def cache_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Nothing that a test decodes or computes is written to the home of whoever runs it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TAILFUSE_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the tiny bundle."""
    return write_tiny_bundle(tmp_path_factory.mktemp("bundles") / "tiny")


@pytest.fixture(scope="session")
def next_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of another version: its weights, its first class and the scale of its ages are others."""
    clinical = MODALITIES["clinical"]
    assert isinstance(clinical, TabularModality)
    age = NumberColumn(name="age", mean=20.0, scale=4.0, indicator=True)
    modalities = {
        **MODALITIES,
        "clinical": clinical.model_copy(update={"columns": (age, *clinical.columns[1:])}),
    }
    classes = (ClassInfo(name="scc", train_count=90, shot="many"), *tiny_manifest({}).classes[1:])
    return write_tiny_bundle(
        tmp_path_factory.mktemp("bundles") / "next", tiny_graph(1),
        version="4", classes=classes, modalities=modalities,
    )  # fmt: skip


@pytest.fixture(scope="session")
def bundle(tiny_bundle: Path) -> Bundle:
    """The tiny bundle, opened on onnxruntime."""
    return open_bundle(tiny_bundle)


@pytest.fixture
def runtime() -> Iterator[FakeRuntime]:
    fake = FakeRuntime()
    yield fake
    fake.release()


@pytest.fixture
def fake_bundle(bundle: Bundle, runtime: FakeRuntime) -> Bundle:
    """The tiny bundle on the fake runtime."""
    return replace(bundle, runtime=runtime)
