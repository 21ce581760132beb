"""POST /predict and POST /predict/batch: bytes in, bytes out, and nothing between that need not be."""

from typing import Any
from urllib.parse import parse_qs

import orjson

from service.asgi import Receive, Scope, Send, WhileConnected, header, read_body, send_json
from service.bundle.answer import answer_of
from service.engine import Engine, Inputs
from service.errors import ClientError, InvalidInput, UnsupportedMediaType
from service.metrics import Metrics
from service.parse import boundary_of, form_inputs, inputs_of, items_of, json_of
from service.problems import noted
from service.settings import Settings


class Predict:
    """Answers one sample, sent as JSON or as a form."""

    def __init__(self, engine: Engine, settings: Settings) -> None:
        self._engine = engine
        self._max_body_bytes = settings.max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        manifest = self._engine.bundle.manifest
        top_k = top_k_of(scope)
        boundary = boundary_of(content_type_of(scope))
        body = await read_body(scope, receive, self._max_body_bytes)
        if boundary is None:
            inputs = inputs_of(json_of(body))
        else:
            inputs = form_inputs(body, boundary, manifest.modalities)
        async with WhileConnected(receive):
            prediction = await self._engine.predict(inputs, len(body))
        answer = answer_of(prediction, manifest, request_id=scope["request_id"], top_k=top_k)
        await send_json(send, orjson.dumps(answer))


class PredictBatch:
    """Answers many samples, sent as JSON; an item that is wrong gets a problem in its place."""

    def __init__(self, engine: Engine, settings: Settings, metrics: Metrics) -> None:
        self._engine = engine
        self._max_body_bytes = settings.max_body_bytes
        self._max_items = settings.max_items
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        manifest = self._engine.bundle.manifest
        top_k = top_k_of(scope)
        if boundary_of(content_type_of(scope)) is not None:
            raise UnsupportedMediaType(
                "a batch is sent as application/json",
                expected=["application/json"],
                received="multipart/form-data",
            )
        body = await read_body(scope, receive, self._max_body_bytes)
        items = items_of(json_of(body), self._max_items)
        async with WhileConnected(receive):
            predictions = await self._engine.predict_all([inputs_or_error(item) for item in items], len(body))
        results = [
            noted(prediction, scope, self._metrics, fragment=f"#/items/{at}")
            if isinstance(prediction, BaseException)
            else answer_of(prediction, manifest, request_id=scope["request_id"], top_k=top_k)
            for at, prediction in enumerate(predictions)
        ]
        await send_json(send, orjson.dumps({"results": results}))


def inputs_or_error(item: Any) -> Inputs | ClientError:
    """The raw values of one item, or what is wrong with it."""
    try:
        return inputs_of(item, "the item")
    except ClientError as error:
        return error


def content_type_of(scope: Scope) -> str | None:
    """Raises UnsupportedMediaType for a compressed body."""
    encoding = header(scope, b"content-encoding")
    if encoding is not None and encoding != "identity":
        raise UnsupportedMediaType(
            f"the body is encoded as '{encoding:.80}'; send it plain",
            expected="identity",
            received=f"{encoding:.80}",
        )
    return header(scope, b"content-type")


def top_k_of(scope: Scope) -> int | None:
    """How many classes the answer shall have; None is all. Raises InvalidInput."""
    query = scope["query_string"]
    if not query:
        return None
    given = parse_qs(query.decode("latin-1"), keep_blank_values=True).get("top_k")
    if given is None:
        return None
    text = given[-1]
    if not (text.isascii() and text.isdecimal() and len(text) <= 9 and int(text) >= 1):
        raise InvalidInput(
            f"top_k must be a whole number from 1, not '{text:.40}'",
            parameter="top_k", expected="a whole number from 1", received=f"{text:.40}",
        )  # fmt: skip
    return int(text)
