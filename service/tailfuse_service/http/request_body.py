"""The bytes of a request become raw values by modality. What the values may be is the bundle's business."""

import re
from collections.abc import Mapping
from typing import Any

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import File, FormParser, MultipartParser, MultipartState, parse_options_header

from tailfuse_service.errors import (
    BadRequest,
    BatchTooLarge,
    InvalidInput,
    TooManyParts,
    UnsupportedMediaType,
)
from tailfuse_service.modalities import Modality
from tailfuse_service.modalities.json_text import json_type
from tailfuse_service.modalities.limits import DEFAULT_LIMITS, Limits

MAX_BOUNDARY = 256
MAX_SIMPLE_HEAD = 4096
# The head of a part with nothing in it that needs decoding.
SIMPLE_HEAD = re.compile(
    rb'\r\nContent-Disposition: form-data; name="([\w .-]+)"(?:; filename="[^"\r\n]*")?'
    rb"(?:\r\nContent-(?:Type|Length): [^\r\n]*)*",
    re.IGNORECASE | re.ASCII,
)


def read_inputs(document: Any, what: str = "the body") -> dict[str, Any]:
    """The raw values of `{"inputs": {…}}`. Raises InvalidInput."""
    inputs = read_single_key(document, "inputs", what)
    if not isinstance(inputs, dict):
        raise InvalidInput(
            f"'inputs' must be an object by modality, not {json_type(inputs)}",
            expected="object", received=json_type(inputs),
        )  # fmt: skip
    return inputs


def read_items(document: Any, max_items: int) -> list[Any]:
    """The items of `{"items": […]}`, unread. Raises InvalidInput or BatchTooLarge."""
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
            f"{len(items)} items, at most {max_items} are taken at once",
            expected=max_items, received=len(items),
        )  # fmt: skip
    return items


def read_single_key(document: Any, key: str, what: str) -> Any:
    """The value of the one key an object has."""
    if not isinstance(document, dict):
        raise InvalidInput(
            f"{what} must be an object with the key '{key}', not {json_type(document)}",
            expected="object", received=json_type(document),
        )  # fmt: skip
    for other in document:
        if other != key:
            raise InvalidInput(f"{what} has the unknown key '{other}'", expected=[key], received=other)
    if key not in document:
        raise InvalidInput(f"{what} lacks the key '{key}'", expected=[key])
    return document[key]


def parse_boundary(content_type: str | None) -> bytes | None:
    """None for JSON (also when nothing is said), the boundary for multipart. Raises UnsupportedMediaType."""
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


def read_form(
    body: bytes, boundary: bytes, modalities: Mapping[str, Modality], limits: Limits = DEFAULT_LIMITS
) -> dict[str, Any]:
    """The raw values of a form, one part per modality; the modality's kind says how to read its part."""
    return {
        name: modalities[name].read_part(name, part, limits) if name in modalities else part
        for name, part in split_form(body, boundary, limits.max_parts).items()
    }


def split_form(body: bytes, boundary: bytes, max_parts: int) -> dict[str, bytes]:
    """The parts of a form by name. Raises TooManyParts, or BadRequest if it is damaged or cut short."""
    parts = split_simple_form(body, boundary, max_parts)
    return split_any_form(body, boundary, max_parts) if parts is None else parts


def split_simple_form(body: bytes, boundary: bytes, max_parts: int) -> dict[str, bytes] | None:
    """The parts of a form as browsers, curl and requests write it; None for any other, right or wrong.

    The library's parser, which knows all that is allowed, takes 40 us for each part.
    """
    delimiter = b"--" + boundary
    if not body.startswith(delimiter + b"\r\n") or body.count(delimiter) > max_parts + 1:
        return None
    first, *pieces = body[len(delimiter) :].split(b"\r\n" + delimiter)
    if not pieces or pieces.pop() not in (b"--", b"--\r\n"):
        return None
    parts: dict[str, bytes] = {}
    for piece in (first, *pieces):
        head, blank, data = piece.partition(b"\r\n\r\n")
        # A search of a long head would hold up all threads.
        found = SIMPLE_HEAD.fullmatch(head) if len(head) <= MAX_SIMPLE_HEAD else None
        if not blank or found is None or (name := found[1].decode()) in parts:
            return None
        parts[name] = data
    return parts


def split_any_form(body: bytes, boundary: bytes, max_parts: int) -> dict[str, bytes]:
    """What parts_of says, by the library's parser."""
    parts: dict[str, bytes] = {}

    def keep(name: bytes | None, data: bytes) -> None:
        key = (name or b"").decode("utf-8", "replace")
        if key in parts:
            raise BadRequest(f"the form has two parts called '{key}'")
        if len(parts) == max_parts:
            raise TooManyParts(f"the form has more than {max_parts} parts", expected=max_parts)
        parts[key] = data

    def keep_file(file: File) -> None:
        file.file_object.seek(0)
        keep(file.field_name, file.file_object.read())

    form = FormParser(
        "multipart/form-data",
        lambda field: keep(field.field_name, field.value or b""),
        keep_file,
        boundary=boundary,
        config={"MAX_MEMORY_FILE_SIZE": len(body) + 1},  # the body is in memory already
    )
    try:
        form.write(body)
    except FormParserError as error:
        raise BadRequest(f"the body is not a multipart form: {error}") from None
    # The library does not say when the last part is cut short.
    if not isinstance(form.parser, MultipartParser) or form.parser.state != MultipartState.END:
        raise BadRequest("the body is not a multipart form: it ends before its last boundary")
    return parts
