"""Each mistake gets its own clear answer, and always in the same shape."""

import io
import json
from importlib.metadata import version
from typing import Any

import pytest
from PIL import Image
from starlette.testclient import TestClient
from tailfuse_service import errors
from tailfuse_service.errors import ServiceError

from tests.support.bad_bodies import BODIES, FORMS, INPUTS, JSON


def check(response: Any, status: int, slug: str, says: str, instance: str = "/predict") -> None:
    """The answer is a whole problem of this kind."""
    problem = response.json()
    assert (response.status_code, problem["type"]) == (status, f"urn:tailfuse:problem:{slug}"), problem
    assert response.headers["content-type"] == "application/problem+json"
    assert says in problem["detail"]
    assert problem["status"] == status
    assert problem["title"]
    assert problem["instance"] == instance
    assert problem["error"] == problem["detail"]
    assert problem["request_id"] == response.headers["x-request-id"]


@pytest.mark.parametrize(("inputs", "slug", "says"), INPUTS.values(), ids=INPUTS)
def test_an_input_that_does_not_fit_is_named(client: TestClient, inputs: Any, slug: str, says: str) -> None:
    check(client.post("/predict", json={"inputs": inputs}), 422, slug, says)


@pytest.mark.parametrize(("body", "status", "slug", "says"), BODIES.values(), ids=BODIES)
def test_a_body_that_is_wrong_is_explained(
    client: TestClient, body: bytes, status: int, slug: str, says: str
) -> None:
    check(client.post("/predict", content=body, headers=JSON), status, slug, says)


def test_members_name_the_place_and_both_sides(client: TestClient) -> None:
    problem = client.post("/predict", json={"inputs": {"clinical": {"age": "old"}}}).json()
    assert problem["modality"] == "clinical"
    assert problem["column"] == "age"
    assert problem["expected"] == "a finite number or null"
    assert problem["received"] == '"old"'


def test_a_parameter_that_there_is_not_is_refused(client: TestClient) -> None:
    response = client.post("/predict", params={"topk": "3"}, json={"inputs": {"notes": "x"}})
    check(response, 422, "invalid-input", "unknown parameter 'topk'; expected top_k or explain")


@pytest.mark.parametrize("top_k", ["0", "-1", "1.5", "x", "", "²", "9999999999"])
def test_a_wrong_top_k_is_refused(client: TestClient, top_k: str) -> None:
    response = client.post("/predict", params={"top_k": top_k}, json={"inputs": {"notes": "x"}})
    check(response, 422, "invalid-input", "top_k")


@pytest.mark.parametrize(
    "kind", ["text/csv", "application/x-www-form-urlencoded", "image/png", "nonsense", ""]
)
def test_another_content_type_is_refused(client: TestClient, kind: str) -> None:
    response = client.post("/predict", content=b"{}", headers={"content-type": kind})
    check(response, 415, "unsupported-media-type", "application/json")


def test_a_batch_as_a_form_is_refused(client: TestClient) -> None:
    response = client.post("/predict/batch", files={"items": b"x"})
    check(response, 415, "unsupported-media-type", "application/json", "/predict/batch")


@pytest.mark.parametrize(("kind", "body", "status", "slug", "says"), FORMS.values(), ids=FORMS)
def test_a_form_that_is_wrong_is_explained(
    client: TestClient, kind: str, body: bytes, status: int, slug: str, says: str
) -> None:
    check(client.post("/predict", content=body, headers={"content-type": kind}), status, slug, says)


@pytest.mark.parametrize(
    ("body", "slug", "says"),
    [
        ({"items": []}, "invalid-input", "empty"),
        ({"items": {}}, "invalid-input", "array"),
        ({"inputs": {}}, "invalid-input", "unknown key 'inputs'"),
        ({"items": [{}] * 4}, "batch-too-large", "4 items, at most 3"),
    ],
)
def test_a_batch_that_is_wrong_is_explained(
    make_client: Any, bundle: Any, body: Any, slug: str, says: str
) -> None:
    client = make_client(bundle, max_items=3)
    check(client.post("/predict/batch", json=body), 422, slug, says, "/predict/batch")


def test_a_long_body_is_refused_by_its_announced_length(make_client: Any, bundle: Any) -> None:
    client = make_client(bundle, max_body_bytes=100)
    check(client.post("/predict", content=b"x" * 101, headers=JSON), 413, "payload-too-large", "100 bytes")
    exact = json.dumps({"inputs": {"notes": "x"}}).encode().ljust(100)
    assert client.post("/predict", content=exact, headers=JSON).status_code == 200


@pytest.mark.parametrize("path", ["/nope", "/predict/", "/predict/batch/7"])
def test_an_unknown_route_is_a_problem(client: TestClient, path: str) -> None:
    check(client.get(path), 404, "not-found", path, path)


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [("GET", "/predict", "POST"), ("PUT", "/predict/batch", "POST"), ("POST", "/model", "GET")],
)
def test_a_wrong_method_is_told_the_right_one(client: TestClient, method: str, path: str, allow: str) -> None:
    response = client.request(method, path)
    check(response, 405, "method-not-allowed", f"takes {allow}", path)
    assert response.headers["allow"] == allow


def test_an_unforeseen_failure_tells_nothing_of_the_machine(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise KeyError("/secret/path")

    monkeypatch.setattr("tailfuse_service.http.routes.predict.format_answer", fail)
    monkeypatch.setattr("tailfuse_service.http.routes.model.ModelInfo", fail)
    hot = client.post("/predict", json={"inputs": {"notes": "x"}}, headers={"X-Request-Id": "abc"})
    check(hot, 500, "internal-error", "see the service's log")
    cold = client.get("/model")
    check(cold, 500, "internal-error", "see the service's log", "/model")
    assert "secret" not in hot.text + cold.text
    record = caplog.records[0]
    assert vars(record)["request_id"] == "abc"
    assert record.exc_info is not None
    assert "/secret/path" in caplog.text


def test_the_log_does_not_have_what_the_caller_sent(
    client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", logger="tailfuse")
    client.post("/predict", json={"inputs": {"clinical": {"age": "confidential"}}})
    (record,) = [record for record in caplog.records if record.name == "tailfuse"]
    assert vars(record)["column"] == "age"
    assert "confidential" not in str(vars(record))


def test_the_hint_names_what_works_without_an_index() -> None:
    wheel = f"tailfuse-{version('tailfuse')}-py3-none-any.whl"
    assert errors.install_hint("grpc") == (
        f"pip install '.[grpc]' in a checkout, or pip install '{wheel}[grpc]' beside the wheel"
    )


def test_every_error_has_its_own_slug() -> None:
    kinds = [
        kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, ServiceError)
    ]
    assert len({kind.slug for kind in kinds}) == len(kinds)
    for kind in kinds:
        assert kind.__name__ in (errors.__doc__ or "")
        assert kind.__subclasses__() or kind.slug in (errors.__doc__ or "")


def test_a_picture_of_too_many_pixels_is_refused_before_it_is_decoded(client: TestClient) -> None:
    import base64

    file = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(file, "PNG")
    bomb = base64.b64encode(file.getvalue()).decode()
    check(
        client.post("/predict", json={"inputs": {"image": bomb}}),
        422,
        "too-many-pixels",
        "more than 178,956,970 pixels",
    )
