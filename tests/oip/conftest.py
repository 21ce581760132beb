"""Applications and services with the tiny bundle, asked by the protocol, and what they are asked."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.oip.tensors import ROWS, get_grpc_address
from tests.support.process import Service, start_service


@pytest.fixture
def expected(client: Any) -> list[dict[str, Any]]:
    """What POST /predict answers for ROWS."""
    return [client.post("/predict", json={"inputs": row}).json() for row in ROWS]


@pytest.fixture(scope="module")
def service(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A real one, with gRPC."""
    log = tmp_path_factory.mktemp("log") / "service.log"
    started = start_service(tiny_bundle, "--grpc-port", "0", log=log)
    yield started
    assert started.stop() == 0


@pytest.fixture(scope="module")
def grpc_address(service: Service) -> str:
    return get_grpc_address(service)
