"""The bodies of POST /predict and POST /predict/batch, as schemas that have names.

Generators of clients name their types after these. A schema of a union member has all that they need: an
array says what its items are, and a number has JSON Schema's bounds.
"""

from typing import Any

from tailfuse_service.bundle import Bundle, input_schema
from tailfuse_service.http.openapi.examples import example_batch, example_requests
from tailfuse_service.modalities import KINDS

ANY_INPUTS = {
    "type": "object",
    "description": "Raw values by modality, at least one; null means absent. GET /model has their schema.",
    "minProperties": 1,
    "additionalProperties": True,
}

# The value of one modality as it is. Its kind says what the bytes are, not the media type.
VALUE_BODY = {
    "required": True,
    "description": " ".join(f"{name}: {kind.part_description}" for name, kind in KINDS.items()),
    "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
}


def make_request_schemas(bundle: Bundle | None) -> dict[str, Any]:
    """Return the schemas of requests to the model that is served, and of those that name another one."""
    if bundle is None:
        return make_schemas("", ANY_INPUTS, make_any_form())
    # Of the modalities and not of the manifest: one that was written earlier has an older schema.
    inputs = input_schema(bundle.manifest.modalities)
    return {
        **make_schemas("", inputs, make_form(bundle)),
        **make_schemas("Any", ANY_INPUTS, make_any_form()),
    }


def make_schemas(prefix: str, inputs: dict[str, Any], form: dict[str, Any]) -> dict[str, Any]:
    """Return the schemas of a sample, a batch and a form, whose names begin with `prefix`."""
    return {
        f"{prefix}Inputs": inputs,
        f"{prefix}PredictRequest": make_object(inputs=refer(f"{prefix}Inputs")),
        f"{prefix}BatchRequest": make_object(
            items={"type": "array", "minItems": 1, "items": refer(f"{prefix}PredictRequest")}
        ),
        f"{prefix}PredictForm": form,
    }


def make_object(**members: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of an object that has these members and no others."""
    return {
        "type": "object",
        "properties": members,
        "required": list(members),
        "additionalProperties": False,
    }


def refer(name: str) -> dict[str, Any]:
    """Return a reference to a schema of the document."""
    return {"$ref": f"#/components/schemas/{name}"}


def predict_body(bundle: Bundle | None, *, named: bool) -> dict[str, Any]:
    """Return the body of POST /predict; `named` if the path names the model, whose inputs may be any."""
    prefix = "Any" if named else ""
    as_json = {"schema": refer(f"{prefix}PredictRequest"), "examples": example_requests(bundle)}
    as_form: dict[str, Any] = {"schema": refer(f"{prefix}PredictForm")}
    if bundle is not None:
        modalities = bundle.manifest.modalities
        as_form["encoding"] = {name: {"contentType": each.media_type} for name, each in modalities.items()}
    return {"required": True, "content": {"application/json": as_json, "multipart/form-data": as_form}}


def batch_body(bundle: Bundle | None, *, named: bool) -> dict[str, Any]:
    """Return the body of POST /predict/batch."""
    schema = refer("AnyBatchRequest" if named else "BatchRequest")
    as_json = {"schema": schema, "example": example_batch(bundle)}
    return {"required": True, "content": {"application/json": as_json}}


def make_form(bundle: Bundle) -> dict[str, Any]:
    """Return the schema of the multipart form: the kind of a modality says what its part is."""
    modalities = bundle.manifest.modalities
    return {
        "type": "object",
        "properties": {name: modality.part_schema() for name, modality in modalities.items()},
        "minProperties": 1,
        "additionalProperties": False,
    }


def make_any_form() -> dict[str, Any]:
    """Return the schema of a form of any model."""
    parts = " ".join(f"{name}: {kind.part_description}" for name, kind in KINDS.items())
    anything = {"description": f"By the modality's kind. {parts}"}
    return {"type": "object", "minProperties": 1, "additionalProperties": anything}
