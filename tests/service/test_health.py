"""GET /healthz, /readyz, /model."""

import threading
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient
from tailfuse_service.app import create_app
from tailfuse_service.bundle import Bundle
from tailfuse_service.settings import Settings


def test_a_service_with_a_bundle_is_alive_and_ready(client: TestClient) -> None:
    assert client.get("/healthz").json() == {"status": "alive"}
    assert client.get("/readyz").json() == {"status": "ready"}


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/model"])
def test_head_answers_like_get_without_a_body(make_client: Any, bundle: Bundle, path: str) -> None:
    for client in (make_client(bundle), make_client(None)):
        head, get = client.head(path), client.get(path)
        assert head.status_code == get.status_code
        assert head.headers["content-type"] == get.headers["content-type"]
        assert head.content == b""


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/readyz"), ("GET", "/model"), ("POST", "/predict"), ("POST", "/predict/batch")],
)
def test_a_service_without_a_bundle_is_alive_but_not_ready(make_client: Any, method: str, path: str) -> None:
    client = make_client(None)
    assert client.get("/healthz").status_code == 200
    response = client.request(method, path)
    assert response.status_code == 503
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["type"] == "urn:tailfuse:problem:not-ready"


def test_the_model_tells_what_it_knows_takes_and_is_worth(client: TestClient, bundle: Bundle) -> None:
    model = client.get("/model").json()
    assert (model["name"], model["version"], model["label"]) == ("skin-lesions", "3", "diagnosis")
    assert model["classes"][2] == {"name": "bkl", "train_count": 3, "shot": "few"}
    assert {name: modality["kind"] for name, modality in model["modalities"].items()} == {
        "image": "image", "clinical": "tabular", "notes": "text",
    }  # fmt: skip
    assert model["modalities"]["image"]["height"] == 8
    assert [column["name"] for column in model["modalities"]["clinical"]["columns"]] == [
        "age", "pulse", "smoker", "site",
    ]  # fmt: skip
    assert model["input_schema"] == bundle.manifest.input_schema
    assert model["metrics"]["image+clinical+notes"]["few"] is None
    assert (model["runtime"], model["device"]) == ("onnx", "cpu")


def test_while_it_stops_it_answers_but_is_not_ready(tiny_bundle: Path, bundle: Bundle) -> None:
    stopping = threading.Event()
    app = create_app(Settings(bundle=tiny_bundle), bundle, stopping=stopping)
    with TestClient(app) as client:
        assert client.get("/readyz").status_code == 200
        stopping.set()
        response = client.get("/readyz")
        assert response.status_code == 503
        assert response.json()["type"] == "urn:tailfuse:problem:not-ready"
        assert client.get("/healthz").status_code == 200
        assert client.post("/predict", json={"inputs": {"notes": "spot"}}).status_code == 200
