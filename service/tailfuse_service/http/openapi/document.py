"""The OpenAPI document: FastAPI's, with the inputs of the bundle that is served, and what routes share."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel

from tailfuse_service.bundle import Bundle
from tailfuse_service.errors import ServiceError
from tailfuse_service.http.openapi.example_errors import (
    BATCH_TOO_LARGE,
    ELSEWHERE,
    PREDICT_ERRORS,
    UNKNOWN_MODEL,
)
from tailfuse_service.http.openapi.examples import REQUEST_ID, example_answer
from tailfuse_service.http.openapi.requests import VALUE_BODY, batch_body, make_request_schemas, predict_body
from tailfuse_service.http.paths import MODEL_PREFIXES, PREDICT, PREDICT_BATCH, PREDICT_MODALITY
from tailfuse_service.http.problems import MEDIA_TYPE, make_problem

DESCRIPTION = """Multimodal classification for long-tailed data with missing modalities.
Every answer has the probability of each class and the fusion weight of each modality.

The Open Inference Protocol, version 2, is at /v2: openapi/open_inference.yaml has its routes, and
docs/PROTOCOLS.md the tensors of this service.

Errors are RFC 9457 problem details with a stable `type`; the schema `Problem` lists all of them.
Every answer has an `X-Request-Id`."""

# Without key files, no key is needed.
SECURITY = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "A client key, if the service has any."},
    "api_key": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "The same key."},
}
# Headers that HTTP requires for a status.
HEADERS = {
    401: {"WWW-Authenticate": {"schema": {"type": "string", "const": "Bearer"}}},
    429: {"Retry-After": {"schema": {"type": "integer"}, "description": "Seconds."}},
}


def document(api: FastAPI, bundle: Bundle | None, root_path: str = "") -> dict[str, Any]:
    """Return the document with the input schema and examples of `bundle`, or a general one.

    `root_path` is before the paths where a proxy puts a prefix there. The version is that of the routes, for
    a model's version may be any text, and generators of clients want a version of a package.
    """
    described = get_openapi(
        title="tailfuse" if bundle is None else bundle.manifest.name,
        version="1",
        description=DESCRIPTION if bundle is None else f"{describe_model(bundle)}\n\n{DESCRIPTION}",
        routes=api.routes,
        servers=[{"url": root_path or "/"}],
    )
    for prefix in MODEL_PREFIXES:
        show_bundle(described["paths"], prefix, bundle)
    remove_fastapi_errors(described)
    schemas = described["components"]["schemas"]
    schemas.update(make_request_schemas(bundle))
    schemas["Problem"]["description"] += f"\n\n{list_problems()}"
    described["components"]["securitySchemes"] = SECURITY
    described["security"] = [{}, *({name: []} for name in SECURITY)]
    return described


def describe_model(bundle: Bundle) -> str:
    """Say in a sentence what the served model is."""
    manifest = bundle.manifest
    modalities = ", ".join(manifest.modalities)
    return f"Model {manifest.name}, version {manifest.version}: predicts {manifest.label} from {modalities}."


def list_problems() -> str:
    """Return the table of all errors that the routes answer with."""
    errors = sorted([*PREDICT_ERRORS, BATCH_TOO_LARGE, *ELSEWHERE], key=lambda each: (each.status, each.slug))
    rows = [f"| {error.status} | `{error.slug}` | {error.title} |" for error in errors]
    return "\n".join(["| status | `urn:tailfuse:problem:` | |", "|---|---|---|", *rows])


def remove_fastapi_errors(described: dict[str, Any]) -> None:
    """Remove FastAPI's validation errors: the routes never answer them."""
    for name in ("HTTPValidationError", "ValidationError"):
        described["components"]["schemas"].pop(name, None)
    for path in described["paths"].values():
        for operation in path.values():
            if "HTTPValidationError" in str(operation["responses"].get("422")):
                del operation["responses"]["422"]


def show_bundle(described_paths: dict[str, Any], prefix: str, bundle: Bundle | None) -> None:
    """Describe the inputs and answers of the routes below `prefix`.

    Where the path names the model, the inputs may be those of any. This is not done where the routes are
    declared: the bundle may change, and FastAPI drops all nulls of an example.
    """
    shown = None if prefix else bundle
    named = bool(prefix) and bundle is not None
    answer = example_answer(shown)
    for path, body, example in (
        (PREDICT, predict_body(shown, named=named), answer),
        (PREDICT_MODALITY, VALUE_BODY, answer),
        (PREDICT_BATCH, batch_body(shown, named=named), {"results": [answer]}),
    ):
        operation = described_paths[prefix + path]["post"]
        operation["requestBody"] = body
        operation["responses"]["200"]["content"]["application/json"]["example"] = example


def make_named_errors() -> dict[int | str, dict[str, Any]]:
    """Return the errors of a route that names its model: those of /predict, and an unknown model."""
    errors = {
        "description": "As of /predict",
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    unknown = problem_responses("/models/digit/predict", UNKNOWN_MODEL)
    return {**unknown, "4XX": errors, "5XX": errors}


def json_body(shape: type[BaseModel], *examples: Any, required: bool = True) -> dict[str, Any]:
    """Return the request body of a route that parses it itself. The examples must match the shape."""
    content = {
        "schema": shape.model_json_schema(ref_template="#/components/schemas/{model}"),
        "examples": {str(number): {"value": example} for number, example in enumerate(examples, 1)},
    }
    content["schema"].pop("$defs", None)  # these are components already, because answers have them
    return {"requestBody": {"required": required, "content": {"application/json": content}}}


def problem_responses(path: str, *examples: ServiceError) -> dict[int | str, dict[str, Any]]:
    """Return a response for each status among the examples."""
    responses: dict[int | str, dict[str, Any]] = {}
    for error in sorted(examples, key=lambda error: error.status):
        content = {"schema": {"$ref": "#/components/schemas/Problem"}, "examples": {}}
        response = responses.setdefault(
            str(error.status),
            {
                "description": "",
                **({"headers": HEADERS[error.status]} if error.status in HEADERS else {}),
                "content": {MEDIA_TYPE: content},
            },
        )
        response["description"] += (", or " if response["description"] else "") + error.title
        response["content"][MEDIA_TYPE]["examples"][error.slug] = {
            "value": make_problem(error, instance=path, request_id=REQUEST_ID)
        }
    return responses
