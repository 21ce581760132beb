"""The router: gives every request an id, measures its time, and turns its errors into problems.

Predictions go straight to their endpoint, because FastAPI's routing costs more than an answer (140 us against
58). Most POST /predict requests do not come here at all: see http/fast_path.py.
"""

import asyncio
import itertools
import re
import secrets
import time
from collections.abc import Mapping, Sequence

from fastapi import FastAPI

from tailfuse_service.errors import ClientError, NotFound, TooManyRequests, clipped
from tailfuse_service.http.admission import Admission
from tailfuse_service.http.answers import DefaultLines
from tailfuse_service.http.asgi import App, ClientDisconnected, Message, Receive, Scope, Send, header
from tailfuse_service.http.auth import KeyCheck
from tailfuse_service.http.balance import Balance
from tailfuse_service.http.connections import Connections
from tailfuse_service.http.cors import add_cors
from tailfuse_service.http.head_cache import HeadCache
from tailfuse_service.http.memory import Hold, RequestMemory
from tailfuse_service.http.paths import (
    DOCS_FILES,
    METRICS,
    OTHER,
    PROTOCOL_METHODS,
    Access,
    Endpoint,
    RouteMatch,
    find_route,
)
from tailfuse_service.http.problems import MEDIA_TYPE, log_and_make_problem, log_request, make_response
from tailfuse_service.http.routes.predict import Predict
from tailfuse_service.http.tracing import Tracing
from tailfuse_service.http.turns import Turns
from tailfuse_service.metrics import Metrics
from tailfuse_service.modalities.decoding import DECODING
from tailfuse_service.models.reconciler import Reconciler
from tailfuse_service.models.registry import ModelRegistry

REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")
# A new id is the process's prefix and a number; a random id would take 0.5 us.
ID_PREFIX, ID_NUMBERS = secrets.token_hex(4), itertools.count()
CLIENT_CLOSED = 499  # nginx's status for a client that disconnects


class RequestRecord:
    """One request, from its arrival to its answer.

    The scope needs only method, path, headers and request_id.
    """

    __slots__ = ("begun", "hold", "in_flight", "refusal", "route", "scope")

    def __init__(self, scope: Scope, route: RouteMatch) -> None:
        self.scope = scope
        self.route = route
        self.begun = time.perf_counter()
        self.in_flight = False  # whether the router counts it
        self.hold: Hold | None = None  # the memory that its body takes
        self.refusal: TooManyRequests | None = None  # it is to be answered with this instead

    def refuse(self, error: TooManyRequests) -> bool:
        """Have the request answered with this error. Return whether it will; this kind cannot be."""
        return False


class TaskRequest(RequestRecord):
    """A request that a task answers."""

    __slots__ = ("is_answering", "task")

    def __init__(self, scope: Scope, route: RouteMatch) -> None:
        super().__init__(scope, route)
        self.task = asyncio.current_task()
        self.is_answering = False

    def refuse(self, error: TooManyRequests) -> bool:
        """Have the task answer with this error, unless its answer has begun. Return whether it will."""
        if self.task is None or self.is_answering:
            return False
        self.refusal = error
        self.task.cancel()
        return True

    def find_error(self, error: BaseException) -> BaseException:
        """Return what to answer if the task has failed or was cancelled by `refuse`; else raise `error`."""
        if self.refusal is None:
            if isinstance(error, asyncio.CancelledError):
                raise error
            return error
        if self.task is not None:
            self.task.uncancel()
        return self.refusal


class Router:
    """The ASGI application. Prediction endpoints answer predictions; `api` answers everything else.

    Without `access`, no keys are needed. `origins` are allowed for CORS.
    """

    def __init__(
        self,
        api: FastAPI,
        *,
        registry: ModelRegistry,
        reconciler: Reconciler,
        predict: Predict,
        predict_batch: App,
        v2: App,
        metrics: Metrics,
        access: KeyCheck | None,
        max_concurrency: int,
        max_per_client: int | None,
        connections: Connections,
        memory: RequestMemory,
        metrics_port: int | None,
        receive_timeout_s: float,
        send_timeout_s: float,
        origins: Sequence[str],
        tracing: Tracing | None,
        log_requests: bool,
    ) -> None:
        self.api = api
        self.registry = registry
        self.reconciler = reconciler
        self.predict = predict
        self._posts: Mapping[Endpoint, App] = {
            Endpoint.PREDICT: predict, Endpoint.PREDICT_BATCH: predict_batch
        }  # fmt: skip
        self._v2: Mapping[Endpoint, App] = dict.fromkeys((*PROTOCOL_METHODS, Endpoint.NO_METHOD), v2)
        self.metrics = metrics
        self._access = access
        self._tracing = tracing
        self._log_requests = log_requests
        self._app: App = add_cors(self._answer, origins) if origins else self._answer
        self.receive_timeout_s = receive_timeout_s
        self.send_timeout_s = send_timeout_s
        self.metrics_port = metrics_port
        self.cached_heads, self.default_lines = HeadCache(), DefaultLines()  # of the fast path
        self.in_flight = 0
        self.connections, self.turns = connections, Turns()
        self.balance = Balance(metrics.read_in_flight)
        self.memory = memory
        self._admission = Admission(max_concurrency, max_per_client)
        metrics.in_flight.set_function(lambda: self.in_flight)
        metrics.memory_held.set_function(lambda: memory.held + DECODING.held)
        metrics.memory_limit.set_function(lambda: (memory.limit or 0) + (DECODING.limit or 0))
        if access is not None:
            metrics.key_file_problems.set_function(access.count_problems)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.api(scope, receive, send)
            return
        request_id = scope["request_id"] = choose_request_id(header(scope, b"x-request-id"))
        status = CLIENT_CLOSED

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                request.is_answering = True
                own = [(b"x-request-id", request_id.encode())]
                if self.balance.is_last():
                    own.append((b"connection", b"close"))
                message["headers"] = [*message["headers"], *own]
            await send(message)

        route = find_route(scope)
        v2 = self._v2.get(route.endpoint)
        posted = self._posts.get(route.endpoint) if scope["method"] == "POST" else None
        request = TaskRequest(scope, route)
        scope["hold"] = request.hold = Hold(self.memory)
        try:
            self.begin_request(request, get_address(scope))
            self._check_route(scope, route)
            self._check_port(scope, route)
            await (v2 or posted or self.api)(scope, receive, send_with_id)
        except ClientDisconnected:
            pass
        except (Exception, asyncio.CancelledError) as raised:
            if status != CLIENT_CLOSED:
                raise  # half of the answer is sent: uvicorn can only close the connection
            error = request.find_error(raised)
            # KServe's client shows an error's message only if its media type is JSON.
            kind = MEDIA_TYPE if v2 is None else "application/json"
            await make_response(log_and_make_problem(error, scope, self.metrics), kind)(
                scope, receive, send_with_id
            )
        finally:
            self.end_request(request, status)

    def _check_route(self, scope: Scope, route: RouteMatch) -> None:
        """Raise NotFound for a path that is no route, also where FastAPI would find one.

        FastAPI takes a path with a line break at its end for the one without, which may need another key.
        """
        is_known = route.label != OTHER or route.endpoint is not Endpoint.API
        if not is_known and not scope["path"].startswith(f"{DOCS_FILES}/"):
            raise NotFound(f"no route {clipped(scope['path'])}")

    def _check_port(self, scope: Scope, route: RouteMatch) -> None:
        """Raise NotFound for /metrics on another port than its own, and for closed routes there."""
        if self.metrics_port is None:
            return
        is_own = (scope.get("server") or ("", None))[1] == self.metrics_port
        if (is_own and route.access is not Access.OPEN) or (not is_own and route.label == METRICS):
            raise NotFound(f"no route {clipped(scope['path'])} on this port")

    def begin_request(self, request: RequestRecord, address: str) -> None:
        """Count the request as in flight, then check its key and the limit on requests in flight.

        Raises Unauthorized, Forbidden or TooManyRequests. The caller must call `end_request` afterwards, also
        if this raises.
        """
        request.in_flight = True
        self.in_flight += 1
        access = request.route.access
        # Health checks are always answered, and an admin may be the one to end the overload. Routes that are
        # never refused must not take the place of predictions either.
        key = None if self._access is None else self._access.check(request.scope["headers"], access)
        if access is Access.CLIENT:
            self._admission.admit(request, address, key)

    def has_key(self, request: RequestRecord) -> bool:
        """Return whether the request has the key that its route needs."""
        if self._access is None:
            return True
        try:
            self._access.check(request.scope["headers"], request.route.access)
        except ClientError:
            return False
        return True

    def end_request(self, request: RequestRecord, status: int) -> None:
        """Take the request out of the count; record its status and duration. A second call does nothing."""
        if not request.in_flight:
            return
        request.in_flight = False
        self.in_flight -= 1
        if request.hold is not None:
            request.hold.close()
        self._admission.release(request)
        scope, seconds = request.scope, time.perf_counter() - request.begun
        self.metrics.observe_request(request.route.label, status, seconds)
        if self._tracing is not None:
            self._tracing.record(scope, request.route.label, status, seconds)
        if self._log_requests:
            log_request(scope, status, seconds)


def get_address(scope: Scope) -> str:
    """Return the address of a client, without its port."""
    client = scope.get("client")
    return str(client[0]) if client else ""


def choose_request_id(given: str | None) -> str:
    """Return the client's X-Request-Id if it is valid, else a new id."""
    if given is not None and REQUEST_ID.fullmatch(given):
        return given
    return f"{ID_PREFIX}{next(ID_NUMBERS):08x}"
