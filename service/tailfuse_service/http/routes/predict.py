"""The endpoints POST /predict and POST /predict/batch, as ASGI applications without FastAPI's overhead."""

import time
from asyncio import Future
from typing import Any, NamedTuple
from urllib.parse import parse_qs

import orjson

from tailfuse_service.bundle import PRIORS, ClassPrior, Manifest
from tailfuse_service.bundle.answer import Prediction, format_answer
from tailfuse_service.errors import ClientError, InvalidInput, UnsupportedMediaType
from tailfuse_service.http.asgi import Receive, Scope, Send, WhileConnected, header, send_json
from tailfuse_service.http.compression import read_unpacked_body
from tailfuse_service.http.json_files import parse_sample
from tailfuse_service.http.memory import ANSWER_BYTES, Hold, estimate_read_bytes, get_hold
from tailfuse_service.http.off_loop import read_off_loop
from tailfuse_service.http.paths import RouteMatch, find_route
from tailfuse_service.http.problems import log_and_make_problem
from tailfuse_service.http.request_body import parse_boundary, read_form, read_inputs, read_items, read_value
from tailfuse_service.inference.engine import Engine, Inputs
from tailfuse_service.inference.explanations import Explained
from tailfuse_service.metrics import Metrics
from tailfuse_service.modalities.json_text import parse_json
from tailfuse_service.models.registry import ModelRegistry
from tailfuse_service.settings import Settings


class Options(NamedTuple):
    """The query parameters."""

    top_k: int | None = None  # classes in the answer; None means all
    explain: bool = False
    prior: str | None = None  # None is the service's


DEFAULT = Options()


class PendingPrediction(NamedTuple):
    """A prediction that is not finished, its engine, the number of classes in the answer, and its prior."""

    prediction: Future[Prediction] | Future[Explained]
    engine: Engine
    top_k: int | None
    prior: ClassPrior | None  # that of the answer; None is the graph's own

    def withdraw(self) -> None:
        """Cancel the prediction; no client waits for it."""
        self.engine.withdraw(self.prediction)


class Predict:
    """Answers one sample, sent as JSON, as a form, or as the value of the only modality."""

    def __init__(self, registry: ModelRegistry, settings: Settings) -> None:
        self._registry = registry
        self._limits = settings.limits
        self.max_body_bytes = settings.max_body_bytes

    def submit(
        self, engine: Engine, route: RouteMatch, content_type: str | None, query: bytes, body: bytes
    ) -> PendingPrediction:
        """Submit a complete request to an engine. The caller must withdraw it when no client waits for it.

        Raises BadRequest, UnsupportedMediaType, InvalidInput, and what Engine.submit raises.
        """
        options = parse_options(query) if query else DEFAULT
        return submit_inputs(engine, self.read(engine, route, content_type, body), len(body), options)

    def read(self, engine: Engine, route: RouteMatch, content_type: str | None, body: bytes) -> Inputs:
        """Return the raw values in a body. Raises BadRequest, UnsupportedMediaType, InvalidInput."""
        if route.modality is not None:
            return read_value(route.modality, body, content_type, engine.manifest.modalities, self._limits)
        boundary = parse_boundary(content_type)
        if boundary is None:
            return read_inputs(parse_sample(body, engine.manifest.modalities, self._limits))
        return read_form(body, boundary, engine.manifest.modalities, self._limits)

    def _hold_and_read(
        self, hold: Hold, engine: Engine, route: RouteMatch, content_type: str | None, body: bytes
    ) -> Inputs:
        """As `read`, once there is memory for it. Raises Overloaded, PayloadTooLarge."""
        hold.take(estimate_read_bytes(body))
        return self.read(engine, route, content_type, body)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await read_unpacked_body(scope, receive, self.max_body_bytes)
        route = find_route(scope)
        with self._registry.find(route.model, route.version, scope["headers"]).keep_open() as engine:
            options = parse_options(scope["query_string"])
            inputs = await read_off_loop(
                len(body), self._hold_and_read, get_hold(scope), engine, route,
                header(scope, b"content-type"), body,
            )  # fmt: skip
            pending = submit_inputs(engine, inputs, len(body), options)
            del body, inputs  # else they would take memory until the answer
            try:
                async with WhileConnected(receive):
                    await pending.prediction
            finally:
                pending.withdraw()
        await send_json(send, encode_answer(pending, scope["request_id"]))


def submit_inputs(engine: Engine, inputs: Inputs, n_bytes: int, options: Options) -> PendingPrediction:
    """Submit the raw values of a body of that length. Raises what Engine.submit raises."""
    prior = engine.find_prior(options.prior)
    prediction = engine.explain(inputs, prior) if options.explain else engine.submit(inputs, n_bytes, prior)
    return PendingPrediction(prediction, engine, options.top_k, prior or engine.bundle.prior)


def encode_answer(pending: PendingPrediction, request_id: str) -> bytes:
    """Return the body of a finished prediction's answer."""
    start = time.perf_counter()
    engine = pending.engine
    result = make_answer(
        pending.prediction.result(), engine.manifest, request_id, pending.top_k, pending.prior
    )
    body = orjson.dumps(result)
    engine.encoded(time.perf_counter() - start)
    return body


def make_answer(
    result: Prediction | Explained, manifest: Manifest, request_id: str, top_k: int | None,
    prior: ClassPrior | None,
) -> dict[str, Any]:  # fmt: skip
    """Return the answer as JSON, with its explanation if there is one."""
    name = None if prior is None else prior.stated_name
    if isinstance(result, Explained):
        document = format_answer(result.prediction, manifest, request_id=request_id, top_k=top_k, prior=name)
        return {**document, "explanation": result.explanation}
    return format_answer(result, manifest, request_id=request_id, top_k=top_k, prior=name)


class PredictBatch:
    """Answers many samples, sent as JSON. An invalid item gets a problem in its place."""

    def __init__(self, registry: ModelRegistry, settings: Settings, metrics: Metrics) -> None:
        self._registry = registry
        self._max_body_bytes = settings.max_body_bytes
        self._limits = settings.limits
        self._max_items = settings.max_items
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        options = parse_options(scope["query_string"])
        if parse_boundary(header(scope, b"content-type")) is not None:
            raise UnsupportedMediaType(
                "a batch is sent as application/json",
                expected=["application/json"],
                received="multipart/form-data",
            )
        body = await read_unpacked_body(scope, receive, self._max_body_bytes)
        # After the body: another version may be stable by then.
        route = find_route(scope)
        with self._registry.find(route.model, route.version, scope["headers"]).keep_open() as engine:
            prior = engine.find_prior(options.prior)
            hold = get_hold(scope)
            items = await read_off_loop(len(body), self._read, hold, body)
            del body  # as for one sample
            hold.take(ANSWER_BYTES * len(items) * len(engine.manifest.classes))
            async with WhileConnected(receive):
                answer_all = engine.explain_all if options.explain else engine.predict_all
                predictions = await answer_all(items, prior)
        used = prior or engine.bundle.prior
        start = time.perf_counter()
        results = [
            log_and_make_problem(prediction, scope, self._metrics, fragment=f"#/items/{at}")
            if isinstance(prediction, BaseException)
            else make_answer(prediction, engine.manifest, scope["request_id"], options.top_k, used)
            for at, prediction in enumerate(predictions)
        ]
        encoded = orjson.dumps({"results": results})
        engine.encoded(time.perf_counter() - start)
        await send_json(send, encoded)

    def _read(self, hold: Hold, body: bytes) -> list[Inputs | ClientError]:
        """Return the raw values of each item, or its error.

        Raises BadRequest, InvalidInput, Overloaded, PayloadTooLarge.
        """
        hold.take(estimate_read_bytes(body))
        items = read_items(parse_json(body, limits=self._limits), self._max_items)
        return [read_item(each) for each in items]


def read_item(item: Any) -> Inputs | ClientError:
    """Return the raw values of one item, or its error."""
    try:
        return read_inputs(item, "the item")
    except ClientError as error:
        return error


def parse_options(query: bytes) -> Options:
    """Parse the query. Raises InvalidInput."""
    parameters = parse_qs(query.decode("latin-1"), keep_blank_values=True)
    for name in parameters:
        if name not in Options._fields:
            raise InvalidInput(
                f"unknown parameter '{name:.40}'; expected {' or '.join(Options._fields)}",
                parameter=f"{name:.40}", expected=list(Options._fields), received=f"{name:.40}",
            )  # fmt: skip
    top_k = parameters.get("top_k", [None])[-1]
    explain = parameters.get("explain", ["false"])[-1]
    if explain not in ("true", "false"):
        raise make_parameter_error("explain", "true or false", explain)
    prior = parameters.get("prior", [None])[-1]
    if prior is not None and prior not in PRIORS:
        raise make_parameter_error("prior", "uniform, training or tempered", prior)
    return Options(None if top_k is None else parse_top_k(top_k), explain == "true", prior)


def parse_top_k(text: str) -> int:
    """Parse the value of top_k. Raises InvalidInput."""
    if not (text.isascii() and text.isdecimal() and len(text) <= 9 and int(text) >= 1):
        raise make_parameter_error("top_k", "a whole number from 1", text)
    return int(text)


def make_parameter_error(parameter: str, expected: str, received: str) -> InvalidInput:
    """Return the error of a parameter's value."""
    return InvalidInput(
        f"{parameter} must be {expected}, not '{received:.40}'",
        parameter=parameter, expected=expected, received=f"{received:.40}",
    )  # fmt: skip
