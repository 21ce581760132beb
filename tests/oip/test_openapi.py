"""The protocol's own OpenAPI document, tried on a running service."""

from pathlib import Path
from typing import Any

import pytest
import schemathesis
import yaml
from openapi_spec_validator import validate
from schemathesis import GenerationMode, checks

from tests.support.hostile.schemathesis import try_out
from tests.support.oip.tensors import INPUTS, MODEL
from tests.support.process import Service

pytestmark = pytest.mark.e2e

TRUTH = [
    checks.not_a_server_error, checks.status_code_conformance, checks.content_type_conformance,
    checks.response_schema_conformance, checks.unsupported_method,
]  # fmt: skip
FILE = Path(__file__).parents[2] / "openapi" / "open_inference.yaml"


def described() -> Any:
    """The document as tools take it: the protocol writes `${NAME}` in its paths."""
    return yaml.safe_load(FILE.read_text(encoding="utf-8").replace("${", "{"))


OPERATIONS = [
    (method, path) for path, item in described()["paths"].items() for method in item.keys() & {"get", "post"}
]


@pytest.fixture(scope="module")
def document(service: Service) -> schemathesis.BaseSchema:
    named = described()
    for name, value in (("model", MODEL), ("version", "3")):  # or nearly all are 404
        named["components"]["parameters"][name]["schema"]["enum"] = [value, "other"]
    document = schemathesis.openapi.from_dict(named)
    document.config.update(base_url=service.url)
    return document


def test_the_document_is_valid() -> None:
    validate(described())


@pytest.mark.parametrize(("method", "path"), OPERATIONS, ids=[" ".join(each) for each in OPERATIONS])
@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_the_service_answers_as_the_protocol_says(
    document: schemathesis.BaseSchema, method: str, path: str, mode: GenerationMode
) -> None:
    if mode == GenerationMode.NEGATIVE and method == "get":
        mode = GenerationMode.POSITIVE  # there is nothing to be wrong in a GET
    try_out(document[path][method].as_strategy(mode), TRUTH)


def test_a_right_request_is_answered_in_the_right_shape(document: schemathesis.BaseSchema) -> None:
    operation = document["/v2/models/{MODEL_NAME}/infer"]["post"]
    body: dict[str, Any] = {"inputs": INPUTS}
    case = operation.Case(path_parameters={"MODEL_NAME": MODEL}, body=body, media_type="application/json")
    answer = case.call()
    assert answer.status_code == 200
    case.validate_response(answer, checks=TRUTH[:-1])
