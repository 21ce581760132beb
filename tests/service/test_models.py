"""Models and versions that the path names."""

from dataclasses import replace
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient
from tailfuse_service.bundle import Bundle, open_bundle

INPUTS = {"inputs": {"notes": "x"}}
NAME = "skin-lesions"


@pytest.fixture
def client(make_client: Any, bundle: Bundle, next_bundle: Any) -> TestClient:
    """Versions 3 and 4 of one model, and another model."""
    other = replace(bundle, manifest=bundle.manifest.model_copy(update={"name": "a model", "version": "1"}))
    client: TestClient = make_client(bundle, default_model=NAME)
    app: Any = client.app
    assert client.portal is not None
    client.portal.call(app.registry.replace, [bundle, open_bundle(next_bundle), other])
    return client


@pytest.mark.parametrize(
    ("path", "model", "version"),
    [
        ("", NAME, "4"),
        (f"/models/{NAME}", NAME, "4"),
        (f"/models/{NAME}/versions/3", NAME, "3"),
        (f"/models/{NAME}/versions/4", NAME, "4"),
        (f"/models/{NAME}/versions/latest", NAME, "4"),
        ("/models/a%20model", "a model", "1"),
    ],
)
def test_the_one_that_is_named_answers_and_tells_of_itself(
    client: TestClient, path: str, model: str, version: str
) -> None:
    named = {"name": model, "version": version}
    answer = client.post(f"{path}/predict?top_k=1", json=INPUTS).json()
    assert answer["model"] == named
    assert len(answer["probabilities"]) == 1
    form = client.post(f"{path}/predict", files={"notes": (None, "x", "text/plain")}).json()
    assert form["model"] == named
    (result,) = client.post(f"{path}/predict/batch", json={"items": [INPUTS]}).json()["results"]
    assert result["model"] == named
    info = client.get(path or "/model").json()
    assert {key: info[key] for key in named} == named


def test_all_are_listed(client: TestClient) -> None:
    assert client.get("/models").json() == {
        "default": NAME,
        "models": [
            {"name": "a model", "versions": [{"version": "1", "role": "stable"}]},
            {
                "name": NAME,
                "versions": [{"version": "3", "role": "none"}, {"version": "4", "role": "stable"}],
            },
        ],
    }


@pytest.mark.parametrize(
    "path",
    [
        "/models/digits/predict", "/models/digits/predict/batch", f"/models/{NAME}/versions/5/predict",
        f"/models/{NAME}/versions/5/predict/batch",
    ],
)  # fmt: skip
def test_what_is_not_there_is_404(client: TestClient, path: str) -> None:
    response = client.post(path, json=INPUTS if path.endswith("predict") else {"items": [INPUTS]})
    assert (response.status_code, response.json()["type"]) == (404, "urn:tailfuse:problem:unknown-model")
    assert response.json()["expected"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", f"/models/{NAME}/predict", 405), ("PUT", f"/models/{NAME}/versions/3/predict/batch", 405),
        ("POST", f"/models/{NAME}", 405), ("POST", "/models//predict", 404),
        ("POST", f"/models/{NAME}/versions//predict", 404), ("POST", f"/models/{NAME}/predict/", 404),
        ("POST", "/models/predict", 405), ("GET", "/models/", 404),
    ],
)  # fmt: skip
def test_other_paths_and_methods_are_refused(client: TestClient, method: str, path: str, status: int) -> None:
    assert client.request(method, path, json=INPUTS, follow_redirects=False).status_code == status


def test_names_that_are_made_up_make_no_metrics(client: TestClient) -> None:
    for name in range(20):
        client.post(f"/models/{name}/predict", json=INPUTS)
        client.post(f"/models/{name}/versions/{name}/predict/batch", json=INPUTS)
        client.get(f"/models/{name}")
        client.get(f"/models/{name}/x")
    families = text_string_to_metric_families(client.get("/metrics").text)
    routes = {
        sample.labels["route"]: sample.value
        for family in families
        for sample in family.samples
        if sample.name == "tailfuse_requests_total"
    }
    assert routes == {
        "/models/{name}/predict": 20, "/models/{name}/versions/{version}/predict/batch": 20,
        "/models/{name}": 20, "other": 20,
    }  # fmt: skip
