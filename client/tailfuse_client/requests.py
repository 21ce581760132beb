"""Requests as values, made before anything is sent."""

import json
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote

from tailfuse_client.values import encode_value

Inputs = Mapping[str, Any]  # raw values of an application by modality
Params = Mapping[str, str]  # of the query
Part = tuple[str | None, bytes, str]  # a file's name or None, content, media type

JSON = "application/json"
MAX_ITEMS = 256  # of a batch: the service's default limit
MAX_BYTES = 8 << 20  # of a batch's items: half of the service's default limit


@dataclass(frozen=True, slots=True)
class Request:
    """A request to one route with JSON, form parts, or no body."""

    method: str
    url: str
    params: Params = field(default_factory=dict)
    content: bytes | None = None
    files: Mapping[str, Part] | None = None
    n_items: int = 1

    def with_path(self, path: str) -> "Request":
        """Return the request for the model at `path`; "" is the default model."""
        return replace(self, url=path if path and self is MODEL else path + self.url)

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of httpx2.Client.stream."""
        headers = {} if self.content is None else {"content-type": JSON}
        names = ("method", "url", "params", "content", "files")
        return {name: getattr(self, name) for name in names} | {"headers": headers}


MODEL = Request("GET", "/model")
READY = Request("GET", "/readyz")


def make_path(model: str | None, version: str | None) -> str:
    """Make the path of a model or of one version. Raises ValueError for a version without a model."""
    if model is None:
        if version is not None:
            raise ValueError("version requires model; got a version without a model")
        return ""
    path = f"/models/{quote(model, safe='')}"
    return path if version is None else f"{path}/versions/{quote(version, safe='')}"


def make_predict_request(inputs: Inputs, params: Params) -> Request:
    """Make a prediction request: a form if there are files, as base64 is a third longer; otherwise JSON.

    Raises the errors of encode_value.
    """
    values = encode_values(inputs)
    has_files = any(isinstance(value, bytes) for value in values.values())
    if not has_files or any(map(is_ambiguous_in_form, values.values())):
        return make_json_request("/predict", encode_json({"inputs": values}), params)
    parts = {name: make_form_part(name, value) for name, value in values.items()}
    return Request("POST", "/predict", params, files=parts)


def make_batch_requests(items: Iterable[Inputs], params: Params, max_items: int) -> Iterator[Request]:
    """Pack items into requests of at most `max_items` and MAX_BYTES; an item is never split.

    Raises ValueError, and the errors of encode_value.
    """
    if max_items < 1:
        raise ValueError(f"max_items must be at least 1, got {max_items}")
    pending: list[bytes] = []
    for item in items:
        encoded = encode_json({"inputs": encode_values(item)})
        if pending and sum(map(len, pending)) + len(encoded) > MAX_BYTES:
            yield make_batch_request(pending, params)
            pending = []
        pending.append(encoded)
        if len(pending) == max_items:
            yield make_batch_request(pending, params)
            pending = []
    if pending:
        yield make_batch_request(pending, params)


def make_batch_request(items: list[bytes], params: Params) -> Request:
    """Make one request from items encoded as JSON."""
    return make_json_request("/predict/batch", b'{"items":[' + b",".join(items) + b"]}", params, len(items))


def make_json_request(url: str, content: bytes, params: Params, n_items: int = 1) -> Request:
    """Make a POST request with JSON."""
    return Request("POST", url, params, content, n_items=n_items)


def make_params(top_k: int | None, explain: bool, prior: str | None = None) -> Params:
    """Make the query parameters that differ from the defaults."""
    given = {"top_k": top_k, "explain": "true" if explain else None, "prior": prior}
    return {name: str(value) for name, value in given.items() if value is not None}


def encode_values(inputs: Inputs) -> dict[str, Any]:
    """Encode the values without absent modalities. Error messages name the modality."""
    values = {}
    for name, value in inputs.items():
        try:
            encoded = encode_value(value)
        except (TypeError, ValueError) as error:
            kind = TypeError if isinstance(error, TypeError) else ValueError
            raise kind(f"modality '{name}': {error}") from None
        if encoded is not None:
            values[name] = encoded
    return values


def is_ambiguous_in_form(value: Any) -> bool:
    """Return whether a form would be ambiguous: strings by column would be read as one text."""
    return isinstance(value, dict) and all(each is None or isinstance(each, str) for each in value.values())


def make_form_part(name: str, value: Any) -> Part:
    """Make a form part of a value."""
    if isinstance(value, bytes):
        return name, value, "application/octet-stream"
    if isinstance(value, str):
        return None, value.encode(), "text/plain; charset=utf-8"
    return None, encode_json(value), JSON


def encode_json(value: Any) -> bytes:
    """Encode as JSON, files in base64. Infinities pass: the service refuses only that item."""
    text = json.dumps(
        value, ensure_ascii=False, separators=(",", ":"), default=lambda data: b64encode(data).decode()
    )
    return text.encode()
