"""The protocol over REST, below /v2. It does not use FastAPI, whose routing costs more than an answer."""

import threading
from typing import Any, NamedTuple

import orjson

from tailfuse_service.bundle import Manifest
from tailfuse_service.errors import BadRequest, InvalidInput, MethodNotAllowed, NotFound, NotReady
from tailfuse_service.http.asgi import Receive, Scope, Send, WhileConnected, header
from tailfuse_service.http.compression import pack, read_unpacked_body
from tailfuse_service.http.memory import Hold, estimate_read_bytes, get_hold
from tailfuse_service.http.off_loop import read_off_loop
from tailfuse_service.http.paths import Endpoint, RouteMatch, find_route
from tailfuse_service.modalities.json_text import json_type, parse_json
from tailfuse_service.modalities.limits import Limits
from tailfuse_service.modalities.tensor import Tensor
from tailfuse_service.models.registry import ModelRegistry
from tailfuse_service.oip.inputs import Rows, make_rows
from tailfuse_service.oip.metadata import model_metadata, server_metadata
from tailfuse_service.oip.outputs import OUTPUTS, check_output, make_outputs
from tailfuse_service.oip.predict import PRIOR, find_prior, make_parameters, predict_rows
from tailfuse_service.oip.tensors import make_spec, parse_binary, parse_json_data
from tailfuse_service.settings import Settings

HEAD_LENGTH = b"inference-header-content-length"  # length of the JSON if binary data follows it


class InferRequest(NamedTuple):
    """A parsed request. `wanted` are its outputs, and whether each is binary."""

    id: str | None
    tensors: list[Tensor]
    wanted: dict[str, bool]
    prior: Any  # the parameter of that name


class Rest:
    """An ASGI application for /v2 and the paths below it."""

    def __init__(self, registry: ModelRegistry, settings: Settings, stopping: threading.Event) -> None:
        self._registry = registry
        self._settings = settings
        self._limits = settings.limits
        self._stopping = stopping

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        route = find_route(scope)
        if route.endpoint is Endpoint.NO_METHOD:
            raise NotFound(f"no route {scope['path']:.80}")
        is_infer = route.endpoint is Endpoint.MODEL_INFER
        methods = ("POST",) if is_infer else ("GET", "HEAD")
        if scope["method"] not in methods:
            raise MethodNotAllowed(
                f"{route.label} takes {' or '.join(methods)}, not {scope['method']}", allow=list(methods)
            )
        if is_infer:
            await self._infer(route, scope, receive, send)
        else:
            await send_answer(send, orjson.dumps(self._describe(route)))

    def _describe(self, route: RouteMatch) -> Any:
        """Return the answer to a GET. Raises NotReady, UnknownModel."""
        if route.endpoint is Endpoint.SERVER_METADATA:
            return server_metadata()
        if route.endpoint is Endpoint.SERVER_LIVE:
            return {"live": True}
        engine = self._registry.find(route.model, route.version)
        if route.endpoint is Endpoint.MODEL_METADATA:
            return model_metadata(self._registry, engine, route.version, self._settings)
        if self._stopping.is_set():
            raise NotReady("the service is stopping")
        return {"ready": True} if route.model is None else {"name": route.model, "ready": True}

    async def _infer(self, route: RouteMatch, scope: Scope, receive: Receive, send: Send) -> None:
        body = await read_unpacked_body(scope, receive, self._settings.max_body_bytes)
        with self._registry.find(route.model, route.version, scope["headers"]).keep_open() as engine:
            request, rows = await read_off_loop(
                len(body), self._read, get_hold(scope), body, header(scope, HEAD_LENGTH), engine.manifest
            )
            prior = find_prior(engine, request.prior)
            async with WhileConnected(receive):
                predictions = await predict_rows(engine, rows, len(body), prior)
        outputs, binary = [], []
        for output in make_outputs(predictions, engine.manifest, list(request.wanted)):
            entry: dict[str, Any] = {"name": output.name, "datatype": output.datatype, "shape": output.shape}
            if request.wanted[output.name]:
                binary.append(output.to_bytes())
                entry["parameters"] = {"binary_data_size": len(binary[-1])}
            else:
                entry["data"] = output.values
            outputs.append(entry)
        parameters = make_parameters(engine, prior)
        document = orjson.dumps({
            "model_name": engine.manifest.name,
            "model_version": engine.manifest.version,
            "id": scope["request_id"] if request.id is None else request.id,
            **({"parameters": parameters} if parameters else {}),
            "outputs": outputs,
        })  # fmt: skip
        whole, encoding = await pack(b"".join((document, *binary)), header(scope, b"accept-encoding"))
        await send_answer(send, whole, len(document) if binary else None, encoding)

    def _read(
        self, hold: Hold, body: bytes, head_length: str | None, manifest: Manifest
    ) -> tuple[InferRequest, Rows]:
        """Return the parsed body and the raw values of its rows. Raises ClientError, Overloaded."""
        hold.take(estimate_read_bytes(body))
        request = parse_request(body, head_length, self._limits)
        return request, make_rows(request.tensors, manifest, self._limits, self._settings.max_items)


def parse_request(body: bytes, head_length: str | None, limits: Limits) -> InferRequest:
    """Parse a body. Raises BadRequest, TooDeep, TooManyValues, InvalidInput."""
    head, binary = body, memoryview(b"")
    if head_length is not None:
        if not (head_length.isascii() and head_length.isdecimal()) or int(head_length[:19]) > len(body):
            raise BadRequest(
                f"Inference-Header-Content-Length is '{head_length:.40}'; 0 to {len(body)} was expected",
                expected=f"0 to {len(body)}", received=f"{head_length:.40}",
            )  # fmt: skip
        length = int(head_length[:19])
        head, binary = body[:length], memoryview(body)[length:]
    document = parse_json(head, limits=limits)
    if not isinstance(document, dict) or not isinstance(document.get("inputs"), list):
        raise InvalidInput("the body must be a JSON object with the array 'inputs'", expected="inputs")
    request_id = document.get("id")
    if not (request_id is None or isinstance(request_id, str)):
        raise InvalidInput("'id' must be a string", expected="a string")
    prior = read_parameters(document, "the body").get(PRIOR)
    return InferRequest(request_id, read_tensors(document["inputs"], binary), read_outputs(document), prior)


def read_tensors(inputs: list[Any], binary: memoryview) -> list[Tensor]:
    """Return the inputs. Those without `data` take their bytes from `binary`, in order."""
    tensors, at = [], 0
    for each in inputs:
        if not isinstance(each, dict):
            raise InvalidInput(f"an input must be an object, not {json_type(each)}", expected="an object")
        tensor = make_spec(each.get("name"), each.get("datatype"), each.get("shape"))
        parameters = read_parameters(each, f"input '{tensor.name:.80}'")
        if "shared_memory_region" in parameters:
            raise tensor.invalid("the extension 'shared_memory_region' is not supported")
        if "binary_data_size" not in parameters:
            if "data" not in each:
                raise tensor.invalid("'data' or 'binary_data_size' was expected, got neither")
            tensors.append(parse_json_data(tensor, each["data"]))
            continue
        size = parameters["binary_data_size"]
        if "data" in each:
            raise tensor.invalid("'data' or 'binary_data_size' was expected, got both")
        if type(size) is not int or not 0 <= size <= len(binary) - at:
            raise tensor.invalid(
                f"binary_data_size is {size!r:.40}, but only {len(binary) - at} bytes follow",
                expected=f"0 to {len(binary) - at}", received=f"{size!r:.40}",
            )  # fmt: skip
        tensors.append(parse_binary(tensor, binary[at : at + size]))
        at += size
    if at != len(binary):
        raise BadRequest(
            f"{len(binary)} bytes follow the JSON, {at} expected by the sizes of its inputs",
            expected=at,
            received=len(binary),
        )
    return tensors


def read_outputs(document: dict[str, Any]) -> dict[str, bool]:
    """Return whether each requested output is binary; all outputs are requested by default."""
    as_bytes = read_flag(read_parameters(document, "the body"), "binary_data_output", False)
    outputs = document.get("outputs")
    if outputs is None or outputs == []:
        return dict.fromkeys(OUTPUTS, as_bytes)
    wanted: dict[str, bool] = {}
    if not isinstance(outputs, list):
        raise InvalidInput("'outputs' must be an array", expected="an array")
    for each in outputs:
        if not isinstance(each, dict):
            raise InvalidInput(f"an output must be an object, not {json_type(each)}", expected="an object")
        parameters = read_parameters(each, "an output")
        name = check_output(each.get("name"), parameters, list(wanted))
        wanted[name] = read_flag(parameters, "binary_data", as_bytes)
    return wanted


def read_parameters(document: dict[str, Any], what: str) -> dict[str, Any]:
    """Return the parameters; unknown ones are ignored, as the protocol demands. Raises InvalidInput."""
    parameters = document.get("parameters")
    if parameters is None:
        return {}
    if not isinstance(parameters, dict):
        raise InvalidInput(f"{what}: 'parameters' must be an object", expected="an object")
    return parameters


def read_flag(parameters: dict[str, Any], name: str, default: bool) -> bool:
    """Return a boolean parameter. Raises InvalidInput."""
    value = parameters.get(name, default)
    if not isinstance(value, bool):
        raise InvalidInput(f"'{name}' must be true or false", expected="a boolean")
    return value


async def send_answer(
    send: Send, body: bytes, head_length: int | None = None, encoding: str | None = None
) -> None:
    """Send a complete response with status 200; `head_length` is that of the JSON if binary data follows."""
    kind = b"application/json" if head_length is None else b"application/octet-stream"
    headers = [(b"content-type", kind), (b"content-length", b"%d" % len(body))]
    if head_length is not None:
        headers.append((HEAD_LENGTH, b"%d" % head_length))
    if encoding is not None:
        headers += [(b"content-encoding", encoding.encode()), (b"vary", b"accept-encoding")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
