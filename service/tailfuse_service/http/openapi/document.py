"""The OpenAPI document.

POST /predict does not pass through FastAPI, so its part is written here; the rest is FastAPI's.
"""

from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

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
from tailfuse_service.http.openapi.schemas import Answer, BatchAnswer, Problem
from tailfuse_service.http.problems import MEDIA_TYPE, problem_of
from tailfuse_service.modalities import KINDS

DESCRIPTION = """Classifies samples that are described in several ways at once, any of which may be missing.
Every answer says how sure the model is, class by class, and how much each modality counted.

The Open Inference Protocol, version 2, is at /v2: openapi/open_inference.yaml has its routes, and
docs/PROTOCOLS.md the tensors of this service.

Errors are RFC 9457 problem details with a stable `type`, and every answer has an `X-Request-Id`."""

ANY_INPUTS = {
    "type": "object",
    "description": "Raw values by modality, at least one; null is absent. GET /model has their schema.",
    "minProperties": 1,
    "additionalProperties": True,
}

# Both may be left out where no keys are asked for.
SECURITY = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "A key of the service, if it has any."},
    "api_key": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "The same key."},
}
# Members of a problem that HTTP wants said in a header too.
HEADERS = {
    401: {"WWW-Authenticate": {"schema": {"type": "string", "const": "Bearer"}}},
    429: {"Retry-After": {"schema": {"type": "integer"}, "description": "Seconds."}},
}

# Where a model is named, and by what.
OF_A_MODEL = {"/models/{name}": ["name"], "/models/{name}/versions/{version}": ["name", "version"]}
NAMES = {
    "name": "The model's name.",
    "version": "Its version; `latest` is the last that is neither canary nor shadow.",
}

PARAMETERS = [
    {
        "name": "top_k",
        "in": "query",
        "description": "Answer only this many of the most probable classes.",
        "schema": {"type": "integer", "minimum": 1},
    },
    {
        "name": "explain",
        "in": "query",
        "description": "Say also what each present modality contributes to the answer, and what it would be "
        "without it. Of M modalities that are present the model runs 2^M - 1 rows.",
        "schema": {"type": "boolean", "default": False},
    },
    {
        "name": "X-Routing-Key",
        "in": "header",
        "description": "Requests with the same key are all answered by a model's canary, or none of them.",
        "schema": {"type": "string"},
    },
    {
        "name": "X-Request-Id",
        "in": "header",
        "description": "Comes back in the answer and is in the log; made up if it is not given, or is not "
        "1 to 128 of the characters A-Za-z0-9._:/+=@-",
        "schema": {"type": "string"},
    },
]


def document(api: FastAPI, bundle: Bundle | None) -> dict[str, Any]:
    """The document with the input schema and examples of `bundle`, or a general one."""
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
    )
    described["paths"] = {
        "/predict": {"post": predict_operation(bundle)},
        "/predict/batch": {"post": batch_operation(bundle)},
        **{
            f"{path}{route}": {"post": of_a_model(operation, parameters)}
            for path, parameters in OF_A_MODEL.items()
            for route, operation in (
                ("/predict", predict_operation(None)),
                ("/predict/batch", batch_operation(None)),
            )
        },
        **described["paths"],
    }
    without_fastapis_own_errors(described)
    shapes = [(shape, "serialization") for shape in (Answer, BatchAnswer, Problem)]
    _, own = models_json_schema(shapes, ref_template="#/components/schemas/{model}")  # type: ignore[arg-type]
    described["components"]["schemas"].update(own["$defs"])
    described["components"]["securitySchemes"] = SECURITY
    described["security"] = [{}, *({name: []} for name in SECURITY)]
    return described


def without_fastapis_own_errors(described: dict[str, Any]) -> None:
    """Names in a path may be any text; FastAPI thinks that they could be refused."""
    for name in ("HTTPValidationError", "ValidationError"):
        described["components"]["schemas"].pop(name, None)
    for path in described["paths"].values():
        for operation in path.values():
            if "HTTPValidationError" in str(operation["responses"].get("422")):
                del operation["responses"]["422"]


def predict_operation(bundle: Bundle | None) -> dict[str, Any]:
    schema = {
        "type": "object",
        "properties": {"inputs": bundle.manifest.input_schema if bundle else ANY_INPUTS},
        "required": ["inputs"],
        "additionalProperties": False,
    }
    as_json = {"schema": schema, "examples": example_requests(bundle)}
    return {
        "tags": ["prediction"],
        "summary": "Classify one sample",
        "description": "Send JSON, or a form with one part per modality. Leave out what is not known.",
        "operationId": "predict",
        "parameters": PARAMETERS,
        "requestBody": {
            "required": True,
            "content": {"application/json": as_json, "multipart/form-data": form(bundle)},
        },
        "responses": {
            "200": success("Answer", "The prediction", example_answer(bundle)),
            **problem_responses("/predict", *PREDICT_ERRORS),
        },
    }


def batch_operation(bundle: Bundle | None) -> dict[str, Any]:
    item = {
        "type": "object",
        "properties": {"inputs": bundle.manifest.input_schema if bundle else ANY_INPUTS},
        "required": ["inputs"],
        "additionalProperties": False,
    }
    schema = {
        "type": "object",
        "properties": {"items": {"type": "array", "minItems": 1, "items": item}},
        "required": ["items"],
        "additionalProperties": False,
    }
    inputs = example_inputs(bundle)
    items = [{"inputs": {name: raw}} for name, raw in inputs.items()]
    return {
        "tags": ["prediction"],
        "summary": "Classify many samples",
        "description": "Answers come in the order of the items. An item that is wrong has a problem in its "
        "place and harms no other.",
        "operationId": "predict_batch",
        "parameters": PARAMETERS,
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": schema, "example": {"items": items}}},
        },
        "responses": {
            "200": success("BatchAnswer", "The predictions", {"results": [example_answer(bundle)]}),
            **problem_responses("/predict/batch", *PREDICT_ERRORS, BATCH_TOO_LARGE),
        },
    }


def of_a_model(operation: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """The same, of a model that the path names, and maybe a version."""
    parameters = [
        {"name": name, "in": "path", "required": True, "description": tells, "schema": {"type": "string"}}
        for name, tells in NAMES.items()
        if name in names
    ]
    errors = {
        "description": "As of /predict",
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    return {
        **operation,
        "summary": f"{operation['summary']} with a {names[-1] if len(names) > 1 else 'model'} that is named",
        "operationId": "_".join((operation["operationId"], *names)),
        "parameters": [*parameters, *operation["parameters"]],
        "responses": {
            "200": operation["responses"]["200"],
            **problem_responses("/models/digit/predict", UNKNOWN_MODEL),
            "4XX": errors,
            "5XX": errors,
        },
    }


def json_body(shape: type[BaseModel], *examples: Any, required: bool = True) -> dict[str, Any]:
    """The body of a request that its route reads itself. Its examples must fit its shape."""
    content = {
        "schema": shape.model_json_schema(ref_template="#/components/schemas/{model}"),
        "examples": {str(number): {"value": example} for number, example in enumerate(examples, 1)},
    }
    content["schema"].pop("$defs", None)  # those are among the components, for answers have them too
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


def success(shape: str, description: str, example: dict[str, Any]) -> dict[str, Any]:
    schema = {"$ref": f"#/components/schemas/{shape}"}
    return {
        "description": description,
        "headers": {"X-Request-Id": {"schema": {"type": "string"}}},
        "content": {"application/json": {"schema": schema, "example": example}},
    }


def problem_responses(path: str, *examples: ServiceError) -> dict[int | str, dict[str, Any]]:
    """A response for each status among the examples."""
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
            "value": problem_of(error, instance=path, request_id=REQUEST_ID)
        }
    return responses
