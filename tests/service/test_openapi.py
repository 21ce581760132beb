"""The document: current, whole, and of the bundle that is loaded."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from openapi_spec_validator import validate
from starlette.testclient import TestClient
from tailfuse_service import errors
from tailfuse_service.app import create_app
from tailfuse_service.bundle import Bundle
from tailfuse_service.http.openapi.document import document
from tailfuse_service.settings import Settings

from openapi.write import as_yaml
from tests.support.clients import ClientOf

COMMITTED = Path(__file__).parents[2] / "openapi" / "openapi.yaml"


@pytest.fixture
def described(client: TestClient) -> Any:
    return client.get("/openapi.json").json()


def check_fit(value: Any, schema: Any, described: Any) -> None:
    """Check that a value fits a schema of the document."""
    jsonschema.validate(value, {**schema, "components": described["components"]})


def test_the_committed_document_is_current() -> None:
    current = as_yaml(document(create_app(Settings(bundle=Path("none"))).api, None))
    assert COMMITTED.read_text(encoding="utf-8") == current, (
        "openapi/openapi.yaml is stale; refresh it with: make openapi"
    )


def test_both_documents_are_valid(described: Any) -> None:
    validate(described)
    validate(yaml.safe_load(COMMITTED.read_text(encoding="utf-8")))


def test_every_error_is_in_the_document() -> None:
    text = COMMITTED.read_text(encoding="utf-8")
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    # A bundle that cannot be opened stops the service before it answers anybody.
    answered = [
        kind for kind in kinds if issubclass(kind, errors.ServiceError) and kind is not errors.BundleError
    ]
    for kind in answered:
        if not kind.__subclasses__() or kind is errors.InvalidInput:
            assert f"`{kind.slug}`" in text, f"{kind.slug} is not in the document"


def test_no_route_documents_another_shape_of_error(described: Any) -> None:
    assert "HTTPValidationError" not in str(described)


def test_every_route_is_in_the_document(described: Any) -> None:
    assert set(described["paths"]) == {
        "/predict", "/predict/batch", "/predict/{modality}", "/model", "/healthz", "/readyz", "/metrics",
        "/models", "/models/{name}", "/models/{name}/predict", "/models/{name}/predict/batch",
        "/models/{name}/predict/{modality}", "/models/{name}/versions/{version}/predict/{modality}",
        "/models/{name}/versions/{version}", "/models/{name}/versions/{version}/predict",
        "/models/{name}/versions/{version}/predict/batch",
        "/admin/models", "/admin/models/{name}/roles", "/admin/models/{name}/promote", "/admin/load",
        "/admin/unload", "/admin/reload",
    }  # fmt: skip


def test_the_bundles_inputs_show_in_the_document(described: Any, bundle: Any) -> None:
    schemas = described["components"]["schemas"]
    assert schemas["Inputs"] == bundle.manifest.input_schema
    assert schemas["PredictForm"]["properties"]["image"]["format"] == "binary"
    form = described["paths"]["/predict"]["post"]["requestBody"]["content"]["multipart/form-data"]
    assert {name: part["contentType"] for name, part in form["encoding"].items()} == {
        "image": "image/*", "clinical": "application/json", "notes": "text/plain",
    }  # fmt: skip


def test_a_form_of_the_docs_page_sends_nothing_that_nobody_filled_in(
    described: Any, client: TestClient, picture: bytes
) -> None:
    """Swagger UI begins a field with the first example of its first alternative, and sends it."""
    form = described["components"]["schemas"]["PredictForm"]["properties"]
    begun = {name: part.get("anyOf", [part])[0].get("examples") for name, part in form.items()}
    assert begun == {"image": None, "clinical": [""], "notes": [""]}
    parts: Any = {"image": ("a.png", picture), "clinical": (None, ""), "notes": (None, "")}
    answer = client.post("/predict", files=parts).json()
    assert [name for name, each in answer["modalities"].items() if each["present"]] == ["image"]


def test_the_title_is_the_model_s_name_and_errors_are_below_the_operations(described: Any) -> None:
    assert described["info"]["title"] == "skin-lesions"
    assert described["info"]["description"].startswith(
        "Model skin-lesions, version 3: predicts diagnosis from image, clinical, notes."
    )
    assert "unknown-column" not in described["info"]["description"]
    assert "| 422 | `unknown-column` |" in described["components"]["schemas"]["Problem"]["description"]


def test_a_route_that_names_its_model_takes_the_inputs_of_any(described: Any) -> None:
    for path in ("/models/{name}/predict", "/models/{name}/versions/{version}/predict"):
        content = described["paths"][path]["post"]["requestBody"]["content"]["application/json"]
        assert content["schema"] == {"$ref": "#/components/schemas/AnyPredictRequest"}
    assert described["components"]["schemas"]["AnyInputs"]["additionalProperties"] is True


def test_every_example_of_a_request_is_answered_and_fits_its_schema(
    described: Any, client: TestClient
) -> None:
    content = described["paths"]["/predict"]["post"]["requestBody"]["content"]["application/json"]
    assert len(content["examples"]) == 4
    for example in content["examples"].values():
        check_fit(example["value"], content["schema"], described)
        assert client.post("/predict", json=example["value"]).status_code == 200
    batch = described["paths"]["/predict/batch"]["post"]["requestBody"]["content"]["application/json"]
    check_fit(batch["example"], batch["schema"], described)
    results = client.post("/predict/batch", json=batch["example"]).json()["results"]
    assert all("label" in result for result in results)


def test_rows_that_the_bundle_carries_are_the_examples(make_client: ClientOf, bundle: Bundle) -> None:
    """One that the service refuses is left out; one that lacks a modality is not shown with it."""
    rows = ({"notes": "of an older spec", "smell": 1}, {"notes": "spot"}, {"notes": "pale"})
    manifest = bundle.manifest.model_copy(update={"examples": rows})
    described = make_client(replace(bundle, manifest=manifest)).get("/openapi.json").json()
    operation = described["paths"]["/predict"]["post"]
    examples = operation["requestBody"]["content"]["application/json"]["examples"]
    assert {name: example["value"]["inputs"] for name, example in examples.items()} == {
        "everything": {"notes": "spot"}, "row 2": {"notes": "pale"}
    }  # fmt: skip
    shown = operation["responses"]["200"]["content"]["application/json"]["example"]
    assert not shown["modalities"]["image"]["present"]


def test_the_example_of_an_answer_is_the_models_own(described: Any, client: TestClient) -> None:
    operation = described["paths"]["/predict"]["post"]
    request = operation["requestBody"]["content"]["application/json"]["examples"]["everything"]["value"]
    shown = operation["responses"]["200"]["content"]["application/json"]["example"]
    answer = client.post("/predict", json=request).json()
    assert {**shown, "request_id": ""} == {**answer, "request_id": ""}


def test_answers_and_problems_fit_the_document(described: Any, client: TestClient) -> None:
    def fits(value: Any, shape: str) -> None:
        check_fit(value, {"$ref": f"#/components/schemas/{shape}"}, described)

    fits(client.post("/predict", json={"inputs": {"notes": "spot"}}).json(), "Answer")
    fits(client.post("/predict", json={"inputs": {"smell": "spot"}}).json(), "Problem")
    items = [{"inputs": {"notes": "spot"}}, {"inputs": {}}]
    fits(client.post("/predict/batch", json={"items": items}).json(), "BatchAnswer")
    for path in ("/model", "/models/skin-lesions", "/models/skin-lesions/versions/3"):
        fits(client.get(path).json(), "ModelInfo")
    fits(client.get("/models").json(), "Models")
    fits(client.get("/models/digits").json(), "Problem")


def test_the_examples_of_admin_calls_fit_their_schema(described: Any) -> None:
    calls = [
        operation["requestBody"]["content"]["application/json"]
        for path, operations in described["paths"].items()
        for operation in operations.values()
        if path.startswith("/admin/") and "requestBody" in operation
    ]
    assert len(calls) == 4
    for call in calls:
        for example in call["examples"].values():
            check_fit(example["value"], call["schema"], described)


def test_the_docs_page_needs_nothing_from_elsewhere(client: TestClient) -> None:
    response = client.get("/docs")
    assert response.status_code == 200
    assert "/openapi.json" in response.text
    sources = re.findall(r"""(?:src|href)="([^"]+)""", response.text)
    assert len(sources) == 3  # script, style, icon
    for source in sources:
        assert source.startswith("/swagger/")
        assert len(client.get(source).content) > 500
