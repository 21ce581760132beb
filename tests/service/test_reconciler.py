"""Bundles are opened one at a time, a broken one changes nothing, and a starting worker misses no reload."""

import asyncio
import functools
import logging
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock, Mock

import pytest
from starlette.testclient import TestClient
from tailfuse_service.bundle import Bundle, BundleError, open_bundle
from tailfuse_service.logs import LOG
from tailfuse_service.metrics import Metrics
from tailfuse_service.models.desired_state import DesiredStateStore
from tailfuse_service.models.reconciler import Reconciler
from tailfuse_service.models.registry import ModelRegistry
from tailfuse_service.models.repository import Repository
from tailfuse_service.process.supervisor import Supervisor
from tailfuse_service.process.worker import READY
from tailfuse_service.settings import Settings

from tests.support.takeover import INPUTS, own_answer
from tests.support.trials import pass_all


@pytest.fixture(scope="module")
def new(next_bundle: Path) -> Bundle:
    return open_bundle(next_bundle)


@pytest.fixture
def settings(tiny_bundle: Path) -> Settings:
    return Settings(bundle=tiny_bundle)


def get_value(metrics: Metrics, sample: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(sample, labels)


def make_reconciler(registry: ModelRegistry, metrics: Metrics, settings: Settings) -> Reconciler:
    return Reconciler(registry, metrics, Repository(settings, pass_all()), DesiredStateStore())


def test_one_opens_at_a_time_and_all_who_ask_meanwhile_are_met_by_one_more(
    bundle: Bundle, new: Bundle, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go, alone = threading.Event(), threading.Event(), threading.Lock()
    opened = 0

    def open_again(*_: Any, **__: Any) -> Bundle:
        nonlocal opened
        assert alone.acquire(blocking=False), "two at once"
        begun.set()
        assert go.wait(30)
        opened += 1
        alone.release()
        return new

    monkeypatch.setattr("tailfuse_service.models.repository.open_bundle", open_again)

    async def scenario() -> None:
        metrics = Metrics()
        registry = ModelRegistry([bundle], settings, metrics)
        reload = make_reconciler(registry, metrics, settings)
        reload()
        await asyncio.to_thread(begun.wait, 30)
        for _ in range(5):
            reload()
        go.set()
        await until(lambda: get_value(metrics, "tailfuse_reloads_total", outcome="ok") == 2)
        reload()
        await until(lambda: get_value(metrics, "tailfuse_reloads_total", outcome="ok") == 3)
        assert opened == 3
        assert get_value(metrics, "tailfuse_reloads_total", outcome="failed") == 0
        await registry.close()

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("error", "traces"), [(BundleError("it is damaged"), False), (MemoryError("too much"), True)]
)
def test_a_bundle_that_cannot_be_opened_changes_nothing_and_is_one_line_in_the_log(
    tiny_bundle: Path,
    settings: Settings,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    traces: bool,
) -> None:
    def open_again(*_: Any, **__: Any) -> Bundle:
        raise error

    async def scenario() -> None:
        metrics = Metrics()
        repository = Repository(settings, pass_all())
        (bundle,) = repository.open({})
        monkeypatch.setattr("tailfuse_service.models.repository.open_bundle", open_again)
        registry = ModelRegistry([bundle], settings, metrics)
        Reconciler(registry, metrics, repository, DesiredStateStore())()
        await until(lambda: get_value(metrics, "tailfuse_reloads_total", outcome="failed") == 1)
        assert registry.engine.bundle is bundle
        assert await registry.engine.submit(INPUTS, 0) == own_answer(bundle)
        await registry.close()

    with caplog.at_level(logging.INFO, "tailfuse"):
        asyncio.run(scenario())
    (record,) = caplog.records
    assert record.levelname == "ERROR"
    assert record.message == "bundle not loaded; the old one stays"
    assert vars(record)["reason"] == str(error)
    assert bool(record.exc_info) is traces


class StartingWorker:
    """A process that is ready when it is let be, and notes its signals; its standard input and output too."""

    pid = 1

    def __init__(self) -> None:
        self.stdin = self.stdout = self
        self.may_be_ready = asyncio.Event()
        self.signals: list[int] = []

    def write(self, orders: bytes) -> None: ...

    async def readline(self) -> bytes:
        await self.may_be_ready.wait()
        return READY

    def send_signal(self, number: int) -> None:
        self.signals.append(number)


@pytest.mark.parametrize("times", [0, 1, 3])
def test_a_worker_that_is_starting_is_told_as_soon_as_it_is_ready(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    async def scenario() -> None:
        worker = StartingWorker()
        monkeypatch.setattr("asyncio.create_subprocess_exec", AsyncMock(return_value=worker))
        supervisor = Supervisor(settings, 0, Mock())
        start = asyncio.create_task(supervisor._start(1))
        await asyncio.sleep(0)
        for _ in range(times):
            supervisor._reload()
        assert worker.signals == []  # it would die of them
        worker.may_be_ready.set()
        await start
        assert worker.signals == [signal.SIGHUP] * min(times, 1)
        supervisor._reload()
        assert worker.signals == [signal.SIGHUP] * (min(times, 1) + 1)
        supervisor._listeners[1].close()

    asyncio.run(scenario())


async def until(met: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not met():
            await asyncio.sleep(0.001)


def test_a_bundle_is_logged_as_loaded_once_it_answers(
    make_client: Any, bundle: Bundle, next_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever reads the log and asks again must not be answered by the old one."""
    client: TestClient = make_client(bundle)
    app: Any = client.app
    answering: list[str] = []

    def note(message: str, **_: Any) -> None:
        if message == "bundle loaded":
            answering.append(app.registry.bundle.manifest.version)

    monkeypatch.setattr(LOG, "info", note)
    app.reconciler.repository.path = next_bundle
    assert client.portal is not None
    client.portal.call(functools.partial(app.reconciler.refresh, again=True))
    assert answering == ["4"]
