"""Parse the body of a request to raw values by modality. The bundle checks the values."""

from collections.abc import Mapping
from typing import Any

from python_multipart.multipart import parse_options_header

from tailfuse_service.errors import (
    BadRequest,
    BatchTooLarge,
    InvalidInput,
    UnsupportedMediaType,
)
from tailfuse_service.http.form import decode_part, split_form
from tailfuse_service.modalities import Modality
from tailfuse_service.modalities.json_text import json_type
from tailfuse_service.modalities.limits import DEFAULT_LIMITS, Limits

MAX_BOUNDARY = 256


def read_inputs(document: Any, what: str = "the body") -> dict[str, Any]:
    """Return the raw values of `{"inputs": {…}}`. Raises InvalidInput."""
    inputs = read_single_key(document, "inputs", what)
    if not isinstance(inputs, dict):
        raise InvalidInput(
            f"'inputs' must be an object by modality, not {json_type(inputs)}",
            expected="object", received=json_type(inputs),
        )  # fmt: skip
    return inputs


def read_items(document: Any, max_items: int) -> list[Any]:
    """Return the items of `{"items": […]}`, unchecked. Raises InvalidInput, BatchTooLarge."""
    items = read_single_key(document, "items", "the body")
    if not isinstance(items, list):
        raise InvalidInput(
            f"'items' must be an array, not {json_type(items)}",
            expected="array", received=json_type(items),
        )  # fmt: skip
    if not items:
        raise InvalidInput("'items' is empty", expected="at least one item", received=0)
    if len(items) > max_items:
        raise BatchTooLarge(
            f"{len(items)} items, at most {max_items} are accepted in one request",
            expected=max_items, received=len(items),
        )  # fmt: skip
    return items


def read_single_key(document: Any, key: str, what: str) -> Any:
    """Return the value of an object's only key. Raises InvalidInput."""
    if not isinstance(document, dict):
        raise InvalidInput(
            f"{what} must be an object with the key '{key}', not {json_type(document)}",
            expected="object", received=json_type(document),
        )  # fmt: skip
    for other in document:
        if other != key:
            raise InvalidInput(
                f"{what} has the unknown key '{other}'; '{key}' was expected", expected=[key], received=other
            )
    if key not in document:
        raise InvalidInput(f"{what} must have the key '{key}'", expected=[key])
    return document[key]


def parse_boundary(content_type: str | None) -> bytes | None:
    """Return the boundary of multipart, None for JSON, which is the default.

    Raises UnsupportedMediaType, BadRequest.
    """
    if content_type is None or content_type == "application/json":
        return None
    kind, options = parse_options_header(content_type)
    if kind == b"application/json":
        return None
    if kind != b"multipart/form-data":
        raise UnsupportedMediaType(
            f"the content type is '{content_type:.80}'; application/json or multipart/form-data was expected",
            expected=["application/json", "multipart/form-data"], received=f"{content_type:.80}",
        )  # fmt: skip
    if not 0 < len(options.get(b"boundary", b"")) <= MAX_BOUNDARY:
        raise BadRequest(f"multipart/form-data needs a boundary of 1 to {MAX_BOUNDARY} characters")
    return options[b"boundary"]


def read_value(
    name: str, body: bytes, content_type: str | None, modalities: Mapping[str, Modality],
    limits: Limits = DEFAULT_LIMITS,
) -> dict[str, Any]:  # fmt: skip
    """Return the raw value of one modality, which is the whole body, parsed by the modality's kind.

    A file's bytes may be of any media type: its own first bytes say what it is. Raises UnsupportedMediaType,
    InvalidInput, TooDeep.
    """
    kind = parse_options_header(content_type)[0]
    modality = modalities.get(name)
    is_file = modality is not None and modality.part == "file"
    if kind.startswith(b"multipart/") or (is_file and kind == b"application/json"):
        what = "the file itself" if is_file else "the value itself"
        raise UnsupportedMediaType(
            f"the content type is '{content_type:.80}'; the body of this path is {what}, and POST /predict "
            "takes JSON and forms",
            expected=[modality.media_type] if modality else [], received=f"{content_type:.80}",
        )  # fmt: skip
    if modality is None:
        return {name: body}  # the engine refuses a modality that the model does not have
    if modality.part == "text" and content_type is not None:
        body = decode_part(name, {b"content-type": content_type.encode("latin-1")}, body)
    return {name: modality.read_part(name, body, limits)}


def read_form(
    body: bytes, boundary: bytes, modalities: Mapping[str, Modality], limits: Limits = DEFAULT_LIMITS
) -> dict[str, Any]:
    """Return the raw values of a form: one part per modality, parsed by the modality's kind."""
    return {
        name: modalities[name].read_part(name, part, limits) if name in modalities else part
        for name, part in split_form(body, boundary, limits.max_parts).items()
    }
