"""The whole OpenAPI document of a running service, tried with what it allows and with what it does not."""

from typing import Any

import pytest
import schemathesis
from schemathesis import GenerationMode, checks
from schemathesis.core.errors import InvalidSchema
from schemathesis.core.result import Ok, Result
from schemathesis.schemas import APIOperation

from tests.support.hostile.schemathesis import try_out
from tests.support.process import Service

pytestmark = pytest.mark.e2e

OPERATIONS = [
    ("post", "/predict"), ("post", "/predict/batch"), ("post", "/predict/{modality}"),
    ("post", "/models/{name}/predict"), ("post", "/models/{name}/predict/batch"),
    ("post", "/models/{name}/predict/{modality}"),
    ("post", "/models/{name}/versions/{version}/predict"),
    ("post", "/models/{name}/versions/{version}/predict/batch"),
    ("post", "/models/{name}/versions/{version}/predict/{modality}"),
    ("get", "/model"), ("get", "/models"), ("get", "/models/{name}"),
    ("get", "/models/{name}/versions/{version}"),
    # Without admins' keys all of these are refused.
    ("get", "/admin/models"), ("put", "/admin/models/{name}/roles"), ("post", "/admin/models/{name}/promote"),
    ("post", "/admin/load"), ("post", "/admin/unload"), ("post", "/admin/reload"),
    ("get", "/healthz"), ("get", "/readyz"), ("get", "/metrics"),
]  # fmt: skip
TRUTH = [
    checks.not_a_server_error, checks.status_code_conformance, checks.content_type_conformance,
    checks.response_headers_conformance, checks.response_schema_conformance, checks.unsupported_method,
]  # fmt: skip


@pytest.fixture(scope="module")
def document(service: Service) -> schemathesis.BaseSchema:
    return schemathesis.openapi.from_url(f"{service.url}/openapi.json")


Operation = APIOperation[Any, Any, Any, Any]


def read_operation(result: Result[Operation, InvalidSchema]) -> Operation:
    assert isinstance(result, Ok)
    return result.ok()


def test_every_operation_is_tried(document: schemathesis.BaseSchema) -> None:
    found = [read_operation(result) for result in document.get_all_operations()]
    assert [(each.method, each.path) for each in found] == OPERATIONS


@pytest.mark.parametrize(("method", "path"), OPERATIONS, ids=[" ".join(each) for each in OPERATIONS])
def test_what_the_document_allows_is_answered_as_it_says(
    document: schemathesis.BaseSchema, method: str, path: str
) -> None:
    """Not that it is all accepted: not every string is a picture."""
    try_out(document[path][method].as_strategy(GenerationMode.POSITIVE), TRUTH)


def test_what_the_document_forbids_is_refused_as_it_says(document: schemathesis.BaseSchema) -> None:
    forbidden = document["/predict"]["post"].as_strategy(GenerationMode.NEGATIVE)
    try_out(forbidden.filter(can_be_sent), [*TRUTH, checks.negative_data_rejection])


def can_be_sent(case: schemathesis.Case[Any]) -> bool:
    """Return whether the request says what was generated: a form has no null, so that part is just absent."""
    body = case.body
    is_form = case.media_type == "multipart/form-data"
    return not (is_form and isinstance(body, dict) and None in body.values())


def test_of_a_batch_what_the_document_forbids_is_answered_as_it_says(
    document: schemathesis.BaseSchema,
) -> None:
    """Not refused: an item that is wrong has a problem in its place."""
    try_out(document["/predict/batch"]["post"].as_strategy(GenerationMode.NEGATIVE), TRUTH)
