"""Requests as values: what is sent, before anything is."""

import json
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote

from tailfuse_client.values import value_of

Inputs = Mapping[str, Any]  # what an application holds, by modality
Params = Mapping[str, str]  # of the query
Part = tuple[str | None, bytes, str]  # a file's name or None, content, media type

JSON = "application/json"
MAX_ITEMS = 256  # of a batch: as many as a service takes unless it is told otherwise
MAX_BYTES = 8 << 20  # of its items: half of what a service takes


@dataclass(frozen=True, slots=True)
class Request:
    """What is sent to one route: JSON, or the parts of a form, or nothing."""

    method: str
    url: str
    params: Params = field(default_factory=dict)
    content: bytes | None = None
    files: Mapping[str, Part] | None = None
    n_items: int = 1

    def under(self, path: str) -> "Request":
        """The same of a model that has a path of its own; "" is the default one's."""
        return replace(self, url=path if path and self is MODEL else path + self.url)

    def arguments(self) -> dict[str, Any]:
        """Those of httpx2.Client.stream."""
        headers = {} if self.content is None else {"content-type": JSON}
        names = ("method", "url", "params", "content", "files")
        return {name: getattr(self, name) for name in names} | {"headers": headers}


MODEL = Request("GET", "/model")
READY = Request("GET", "/readyz")


def path_of(model: str | None, version: str | None) -> str:
    """Where a model is asked, or one version of it. Raises ValueError for a version of no model."""
    if model is None:
        if version is not None:
            raise ValueError("a version is that of a model: name it too")
        return ""
    path = f"/models/{quote(model, safe='')}"
    return path if version is None else f"{path}/versions/{quote(version, safe='')}"


def predict_request(inputs: Inputs, params: Params) -> Request:
    """A form where there are files: base64 is a third longer, and both sides pay for it. Else JSON.

    Raises what value_of raises.
    """
    values = values_of(inputs)
    has_files = any(isinstance(value, bytes) for value in values.values())
    if not has_files or any(map(reads_otherwise_in_a_form, values.values())):
        return posted("/predict", json_bytes({"inputs": values}), params)
    parts = {name: part_of(name, value) for name, value in values.items()}
    return Request("POST", "/predict", params, files=parts)


def batch_requests(items: Iterable[Inputs], params: Params, max_items: int) -> Iterator[Request]:
    """As few requests as hold all items, at most `max_items` and MAX_BYTES each; an item is never cut.

    Raises ValueError, and what value_of raises.
    """
    if max_items < 1:
        raise ValueError(f"max_items must be 1 at least, not {max_items}")
    waiting: list[bytes] = []
    for item in items:
        encoded = json_bytes({"inputs": values_of(item)})
        if waiting and sum(map(len, waiting)) + len(encoded) > MAX_BYTES:
            yield batch_request(waiting, params)
            waiting = []
        waiting.append(encoded)
        if len(waiting) == max_items:
            yield batch_request(waiting, params)
            waiting = []
    if waiting:
        yield batch_request(waiting, params)


def batch_request(items: list[bytes], params: Params) -> Request:
    """One request of items that are JSON already."""
    return posted("/predict/batch", b'{"items":[' + b",".join(items) + b"]}", params, len(items))


def posted(url: str, content: bytes, params: Params, n_items: int = 1) -> Request:
    """JSON to a route."""
    return Request("POST", url, params, content, n_items=n_items)


def params_of(top_k: int | None, explain: bool) -> Params:
    """What differs from the defaults."""
    return ({} if top_k is None else {"top_k": str(top_k)}) | ({"explain": "true"} if explain else {})


def values_of(inputs: Inputs) -> dict[str, Any]:
    """Without what is absent. A mistake's message names the modality."""
    values = {}
    for name, value in inputs.items():
        try:
            sendable = value_of(value)
        except (TypeError, ValueError) as error:
            kind = TypeError if isinstance(error, TypeError) else ValueError
            raise kind(f"modality '{name}': {error}") from None
        if sendable is not None:
            values[name] = sendable
    return values


def reads_otherwise_in_a_form(value: Any) -> bool:
    """Strings by column may be a text's: in a form that would be the text itself, braces and all."""
    return isinstance(value, dict) and all(each is None or isinstance(each, str) for each in value.values())


def part_of(name: str, value: Any) -> Part:
    """A value as a part of a form."""
    if isinstance(value, bytes):
        return name, value, "application/octet-stream"
    if isinstance(value, str):
        return None, value.encode(), "text/plain; charset=utf-8"
    return None, json_bytes(value), JSON


def json_bytes(value: Any) -> bytes:
    """Files in base64. Infinities are let through: the service refuses them by column, and the item alone."""
    text = json.dumps(
        value, ensure_ascii=False, separators=(",", ":"), default=lambda data: b64encode(data).decode()
    )
    return text.encode()
