"""A real service with the tiny bundle, and somebody honest who asks it in between."""

from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import pytest
from tailfuse_service.bundle import Bundle

from tests.support.asking import as_json, assert_answers
from tests.support.hostile.honest import HONEST
from tests.support.hostile.wire import Wire
from tests.support.process import TIMEOUT_S, Service, start_service


@pytest.fixture(scope="session")
def service(tiny_bundle: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Fails at the end of all, should the service have logged an error."""
    started = start_service(tiny_bundle, log=tmp_path_factory.mktemp("hostile") / "service.log")
    yield started
    assert started.stop() == 0
    assert [line for line in started.log_lines() if line["level"] in ("error", "critical")] == []
    assert b"Traceback" not in started.log.read_bytes()


@pytest.fixture(scope="session")
def client(service: Service) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=service.url, timeout=TIMEOUT_S, trust_env=False) as client:
        yield client


@pytest.fixture
def honest(client: httpx2.Client, bundle: Bundle) -> Callable[[], None]:
    """Asks, and checks that the answer is the runtime's own."""

    def ask() -> None:
        assert_answers(client.post("/predict", json=as_json(HONEST)).json(), bundle, HONEST)

    return ask


@pytest.fixture
def nobody_is_harmed(honest: Callable[[], None]) -> Iterator[None]:
    """When the test is done, somebody honest is answered."""
    yield
    honest()


@pytest.fixture
def wire(service: Service) -> Iterator[Wire]:
    with Wire(service) as wire:
        yield wire
