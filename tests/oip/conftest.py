"""Applications and services with the tiny bundle, asked by the protocol, and what they are asked."""

import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from tailfuse_service.bundle import Bundle

from tests.e2e.process import Service, start_service
from tests.service.conftest import client, client_of, picture

__all__ = ["client", "client_of", "picture"]

MODEL = "skin-lesions"
INFER = f"/v2/models/{MODEL}/infer"
CLINICAL = ("61", "70.5", "true", "back", "", "80", "", "face")  # (2, 4)
NOTES = ("an itching mole", "")
INPUTS = [
    {"name": "clinical", "datatype": "BYTES", "shape": [2, 4], "data": list(CLINICAL)},
    {"name": "notes", "datatype": "BYTES", "shape": [2], "data": list(NOTES)},
]
ROWS: list[dict[str, Any]] = [  # the same for POST /predict
    {"clinical": {"age": 61, "pulse": 70.5, "smoker": True, "site": "back"}, "notes": NOTES[0]},
    {"clinical": {"pulse": 80, "site": "face"}},
]


def packed(elements: Sequence[bytes]) -> bytes:
    """BYTES in the binary extension."""
    return b"".join(struct.pack("<I", len(each)) + each for each in elements)


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
    return grpc_address_of(service)


def grpc_address_of(service: Service) -> str:
    return next(str(line["address"]) for line in service.log_lines() if line["message"] == "gRPC started")


def answers_of(bundle: Bundle) -> Any:
    """What the bundle itself answers for ROWS."""
    return bundle.run([bundle.sample(row) for row in ROWS])
