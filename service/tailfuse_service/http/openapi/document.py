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
from tailfuse_service.http.openapi.examples import (
    REQUEST_ID,
    example_answer,
    example_inputs,
    example_requests,
)
from tailfuse_service.http.paths import MODEL_PREFIXES, PREDICT, PREDICT_BATCH
from tailfuse_service.http.problems import MEDIA_TYPE, make_problem
from tailfuse_service.modalities import KINDS

DESCRIPTION = """Multimodal classification for long-tailed data with missing modalities.
Every answer has the probability of each class and the fusion weight of each modality.

The Open Inference Protocol, version 2, is at /v2: openapi/open_inference.yaml has its routes, and
docs/PROTOCOLS.md the tensors of this service.

Errors are RFC 9457 problem details with a stable `type`, and every answer has an `X-Request-Id`."""

ANY_INPUTS = {
    "type": "object",
    "description": "Raw values by modality, at least one; null means absent. GET /model has their schema.",
    "minProperties": 1,
    "additionalProperties": True,
}

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

    `root_path` is before the paths where a proxy puts a prefix there.
    """
    table = "\n".join(
        f"| {error.status} | `{error.slug}` | {error.title} |"
        for error in sorted(
            [*PREDICT_ERRORS, BATCH_TOO_LARGE, *ELSEWHERE], key=lambda error: (error.status, error.slug)
        )
    )
    described = get_openapi(
        title="tailfuse",
        version="1",
        description=f"{DESCRIPTION}\n\n| status | `urn:tailfuse:problem:` | |\n|---|---|---|\n{table}",
        routes=api.routes,
        servers=[{"url": root_path}] if root_path else None,
    )
    for prefix in MODEL_PREFIXES:
        show_bundle(described["paths"], prefix, None if prefix else bundle)
    remove_fastapi_errors(described)
    described["components"]["securitySchemes"] = SECURITY
    described["security"] = [{}, *({name: []} for name in SECURITY)]
    return described


def remove_fastapi_errors(described: dict[str, Any]) -> None:
    """Remove FastAPI's validation errors: the routes never answer them."""
    for name in ("HTTPValidationError", "ValidationError"):
        described["components"]["schemas"].pop(name, None)
    for path in described["paths"].values():
        for operation in path.values():
            if "HTTPValidationError" in str(operation["responses"].get("422")):
                del operation["responses"]["422"]


def show_bundle(described_paths: dict[str, Any], prefix: str, bundle: Bundle | None) -> None:
    """Describe the inputs and answers of the routes below `prefix`; without a bundle, in general.

    Not where the routes are declared: the bundle may change, and FastAPI drops all nulls of an example.
    """
    answer = example_answer(bundle)
    for path, body, example in (
        (PREDICT, sample_body(bundle), answer),
        (PREDICT_BATCH, batch_body(bundle), {"results": [answer]}),
    ):
        operation = described_paths[prefix + path]["post"]
        operation["requestBody"] = body
        operation["responses"]["200"]["content"]["application/json"]["example"] = example


def sample_schema(bundle: Bundle | None) -> dict[str, Any]:
    """Return the schema of one sample; without a bundle its inputs may be anything."""
    return {
        "type": "object",
        "properties": {"inputs": bundle.manifest.input_schema if bundle else ANY_INPUTS},
        "required": ["inputs"],
        "additionalProperties": False,
    }


def sample_body(bundle: Bundle | None) -> dict[str, Any]:
    """Return the body of POST /predict."""
    as_json = {"schema": sample_schema(bundle), "examples": example_requests(bundle)}
    return {
        "required": True,
        "content": {"application/json": as_json, "multipart/form-data": form(bundle)},
    }


def batch_body(bundle: Bundle | None) -> dict[str, Any]:
    """Return the body of POST /predict/batch."""
    schema = {
        "type": "object",
        "properties": {"items": {"type": "array", "minItems": 1, "items": sample_schema(bundle)}},
        "required": ["items"],
        "additionalProperties": False,
    }
    items = [{"inputs": {name: raw}} for name, raw in example_inputs(bundle).items()]
    as_json = {"schema": schema, "example": {"items": items}}
    return {"required": True, "content": {"application/json": as_json}}


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


def form(bundle: Bundle | None) -> dict[str, Any]:
    """The multipart form: the kind of a modality says what its part is."""
    if bundle is None:
        parts = " ".join(f"{name}: {kind.part_description}" for name, kind in KINDS.items())
        anything = {"description": f"By the modality's kind. {parts}"}
        return {"schema": {"type": "object", "minProperties": 1, "additionalProperties": anything}}
    modalities = bundle.manifest.modalities
    return {
        "schema": {
            "type": "object",
            "properties": {name: modality.part_schema() for name, modality in modalities.items()},
            "minProperties": 1,
            "additionalProperties": False,
        },
        "encoding": {name: {"contentType": modality.media_type} for name, modality in modalities.items()},
    }


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
