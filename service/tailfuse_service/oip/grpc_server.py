"""The protocol over gRPC: the same engines, limits, keys and metrics as over REST, on the same event loop.

grpcio is imported with this module only, and this module only if there is a port for it.
"""

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from urllib.parse import unquote

os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # errors of clients do not belong into this log

import grpc
import grpc.aio
import orjson
from google.protobuf.message import DecodeError

from tailfuse_service.bundle import Manifest
from tailfuse_service.errors import BadRequest, UnknownModel
from tailfuse_service.http.asgi import Scope
from tailfuse_service.http.memory import Hold
from tailfuse_service.http.off_loop import read_off_loop
from tailfuse_service.http.paths import GRPC_ROUTES, PROTOCOL_METHODS, Endpoint
from tailfuse_service.http.problems import log_and_make_problem
from tailfuse_service.http.router import CLIENT_CLOSED, Router, TaskRequest, choose_request_id
from tailfuse_service.inference.engine import Engine
from tailfuse_service.logs import LOG
from tailfuse_service.models.versions import Headers
from tailfuse_service.oip.arrivals import Arrivals
from tailfuse_service.oip.coalescer import Coalescer
from tailfuse_service.oip.grpc_infer import make_response, read_outputs, read_parameter, read_tensors
from tailfuse_service.oip.inputs import Rows, make_rows
from tailfuse_service.oip.messages import SERVICE, message
from tailfuse_service.oip.metadata import model_metadata, server_metadata
from tailfuse_service.oip.predict import PRIOR, find_prior, make_parameters, predict_rows
from tailfuse_service.settings import Settings

CODES = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.NOT_FOUND,
    408: grpc.StatusCode.DEADLINE_EXCEEDED,
    413: grpc.StatusCode.RESOURCE_EXHAUSTED,
    422: grpc.StatusCode.INVALID_ARGUMENT,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    503: grpc.StatusCode.UNAVAILABLE,
    504: grpc.StatusCode.DEADLINE_EXCEEDED,
}
MESSAGE_FACTOR = 10  # bytes of memory for each of a message's: itself, its values as objects, and as an array
PROBLEM = "problem-bin"  # trailing metadata: the problem details, as JSON

# The kernel deals a connection to a worker once, and a channel has one for all of its calls. A channel that
# is told that its connection is old makes a new one; the calls that have begun are answered.
CONNECTION_AGE_MS, UNLIMITED = 60_000, 2**31 - 1
Context = Any  # grpc.aio.ServicerContext, which has no types
requests: dict[str, Any] = {method: message(f"{method}Request") for method in PROTOCOL_METHODS}
responses: dict[str, Any] = {method: message(f"{method}Response") for method in PROTOCOL_METHODS}
Answer = Callable[[Any, Scope], Awaitable[Any]]


class GrpcServer:
    """A server on the settings' gRPC port. Create it on the event loop."""

    def __init__(self, router: Router, settings: Settings, stopping: threading.Event) -> None:
        self._router = router
        self._registry = router.registry
        self._settings = settings
        self._stopping = stopping
        self._coalescer = Coalescer()
        self._limits = settings.limits
        self._server = grpc.aio.server(options=[
            ("grpc.so_reuseport", int(settings.workers > 1)),
            ("grpc.max_connection_age_ms", CONNECTION_AGE_MS if settings.workers > 1 else UNLIMITED),
            ("grpc.max_receive_message_length", settings.max_body_bytes),  # compressed and uncompressed
            ("grpc.http2.bdp_probe", 0),  # it widens the windows, and with them what waits in memory
        ])  # fmt: skip
        self._arrivals = Arrivals(
            settings.max_body_bytes, settings.receive_timeout_s, lambda: router.memory.limit
        )
        answers: dict[str, Answer] = {
            "ServerLive": self._server_live,
            "ServerReady": self._server_ready,
            "ModelReady": self._model_ready,
            "ServerMetadata": self._server_metadata,
            "ModelMetadata": self._model_metadata,
            "ModelInfer": self._model_infer,
        }
        handlers = {
            # As a stream of one message: so it is handled at its head, before the message has come.
            method: grpc.stream_unary_rpc_method_handler(self._handler(method, answers[method]))
            for method in PROTOCOL_METHODS
        }
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))

    async def start(self) -> None:
        """Open the port. Raises OSError."""
        host, port = self._settings.host, self._settings.grpc_port
        where = f"[{host}]" if ":" in host else host
        try:
            port = self._server.add_insecure_port(f"{where}:{port}")
        except RuntimeError:
            raise OSError(f"cannot listen on {where}:{port} for gRPC: is another service there?") from None
        await self._server.start()
        LOG.info("gRPC started", extra={"address": f"{where}:{port}"})

    async def stop(self, grace_s: float) -> None:
        """Accept no new calls; answer the accepted ones within this time."""
        await self._server.stop(grace_s)

    def _handler(
        self, method: Endpoint, answer: Answer
    ) -> Callable[[AsyncIterator[bytes], Context], Awaitable[Any]]:
        """Return the handler of a method, which does what the router does for REST."""
        router, route, parse = self._router, GRPC_ROUTES[method], requests[method].FromString

        async def handle(messages: AsyncIterator[bytes], context: Context) -> bytes | None:
            headers = [
                (key.encode(), encode_text(value)) for key, value in context.invocation_metadata() or ()
            ]
            given = next((value for key, value in headers if key == b"x-request-id"), None)
            request_id = choose_request_id(None if given is None else given.decode("latin-1"))
            scope = {
                "method": "POST", "path": route.label, "headers": headers, "request_id": request_id
            }  # fmt: skip
            status = CLIENT_CLOSED
            call = TaskRequest(scope, route)
            call.hold = Hold(router.memory)
            try:
                router.begin_request(call, get_address(context))
                body = await self._arrivals.receive(call, messages)
                call.hold.take(MESSAGE_FACTOR * len(body))
                request = await read_off_loop(len(body), parse_message, parse, body)
                response: bytes = (await answer(request, scope)).SerializeToString()
                status = 200
                return response
            except (Exception, asyncio.CancelledError) as raised:
                problem = log_and_make_problem(call.find_error(raised), scope, router.metrics)
                status = problem["status"]
                trailing = [(PROBLEM, orjson.dumps(problem)), ("x-request-id", request_id)]
                if "retry_after_s" in problem:
                    trailing.append(("retry-after", str(problem["retry_after_s"])))
                context.set_trailing_metadata(trailing)
                context.set_code(CODES.get(status, grpc.StatusCode.INTERNAL))
                context.set_details(problem["detail"])
                return None
            finally:
                router.end_request(call, status)

        return handle

    async def _server_live(self, _: Any, __: Scope) -> Any:
        return responses["ServerLive"](live=True)

    async def _server_ready(self, _: Any, __: Scope) -> Any:
        return responses["ServerReady"](ready=self._registry.is_ready and not self._stopping.is_set())

    async def _model_ready(self, request: Any, _: Scope) -> Any:
        self._find(request.name, request.version)
        return responses["ModelReady"](ready=not self._stopping.is_set())

    async def _server_metadata(self, _: Any, __: Scope) -> Any:
        return responses["ServerMetadata"](**server_metadata())

    async def _model_metadata(self, request: Any, _: Scope) -> Any:
        engine = self._find(request.name, request.version)
        metadata = model_metadata(self._registry, engine, request.version or None, self._settings)
        properties = {name: encode_json(value) for name, value in metadata["parameters"].items()}
        for each in metadata["inputs"]:
            if "columns" in each["parameters"]:
                properties[f"{each['name']}.columns"] = encode_json(each["parameters"]["columns"])
        inputs, outputs = (
            [{key: each[key] for key in ("name", "datatype", "shape")} for each in tensors]
            for tensors in (metadata["inputs"], metadata["outputs"])
        )
        return responses["ModelMetadata"](
            name=metadata["name"], versions=metadata["versions"], platform=metadata["platform"],
            inputs=inputs, outputs=outputs, properties=properties,
        )  # fmt: skip

    async def _model_infer(self, request: Any, scope: Scope) -> Any:
        with self._find(request.model_name, request.model_version, scope["headers"]).keep_open() as engine:
            wanted = read_outputs(request)
            n_bytes = request.ByteSize()
            rows = await read_off_loop(n_bytes, self._read_rows, request, engine.manifest)
            prior = find_prior(engine, read_parameter(request, PRIOR))
            await self._coalescer.wait()
            predictions = await predict_rows(engine, rows, n_bytes, prior)
        return make_response(
            predictions, engine.manifest, wanted,
            id_=request.id or scope["request_id"], raw=bool(request.raw_input_contents),
            parameters=make_parameters(engine, prior),
        )  # fmt: skip

    def _read_rows(self, request: Any, manifest: Manifest) -> Rows:
        """Return the raw values of each row. Raises ClientError."""
        tensors = read_tensors(request, self._limits)
        return make_rows(tensors, manifest, self._limits, self._settings.max_items)

    def _find(self, name: str, version: str, headers: Headers = ()) -> Engine:
        """Return the engine. Raises UnknownModel, NotReady. Strings that are not given are empty."""
        if not name:
            raise UnknownModel("no model is named", expected=list(self._registry.models))
        return self._registry.find(name, version or None, headers)


def parse_message(parse: Callable[[bytes], Any], body: bytes) -> Any:
    """Parse a message. Raises BadRequest."""
    try:
        return parse(body)
    except DecodeError:
        raise BadRequest("the bytes are not a message of the protocol") from None


def get_address(context: Context) -> str:
    """Return a client's address, as HTTP has it: of `ipv6:%5B::1%5D:123`, it is `::1`."""
    return unquote(context.peer()).partition(":")[2].rpartition(":")[0].strip("[]")


def encode_text(value: str | bytes) -> bytes:
    """Encode a text as UTF-8."""
    return value.encode() if isinstance(value, str) else value


def encode_json(value: Any) -> str:
    """Encode a value as JSON."""
    return orjson.dumps(value).decode()
