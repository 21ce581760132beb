"""Create the application from its parts. The server opens the bundle and the port."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tailfuse_service.bundle import Bundle
from tailfuse_service.errors import ServiceError
from tailfuse_service.http.auth import make_key_check
from tailfuse_service.http.connections import Connections
from tailfuse_service.http.memory import RequestMemory
from tailfuse_service.http.memory_plan import MemoryPlan
from tailfuse_service.http.openapi.document import document
from tailfuse_service.http.problems import log_and_make_problem, make_response
from tailfuse_service.http.router import Router
from tailfuse_service.http.routes.admin import admin_routes
from tailfuse_service.http.routes.console import console_routes
from tailfuse_service.http.routes.docs import DOCUMENT, docs_routes, mount_docs_files
from tailfuse_service.http.routes.health import health_routes
from tailfuse_service.http.routes.model import model_routes
from tailfuse_service.http.routes.predict import Predict, PredictBatch
from tailfuse_service.http.routes.prediction import prediction_routes
from tailfuse_service.http.tracing import Tracing
from tailfuse_service.metrics import Metrics
from tailfuse_service.modalities.decoding import DECODING
from tailfuse_service.models.desired_state import DesiredStateStore
from tailfuse_service.models.follower import StoreFollower
from tailfuse_service.models.reconciler import Reconciler
from tailfuse_service.models.registry import ModelRegistry
from tailfuse_service.models.repository import Repository
from tailfuse_service.oip.rest import Rest
from tailfuse_service.settings import Settings


def create_app(
    settings: Settings,
    *bundles: Bundle,
    metrics: Metrics | None = None,
    stopping: threading.Event | None = None,
    repository: Repository | None = None,
    desired_state: DesiredStateStore | None = None,
) -> Router:
    """Return the ASGI application of these bundles. Without a bundle it is alive but not ready.

    Once `stopping` is set, it answers but says that it is not ready.
    """
    metrics = metrics or Metrics(drift_window_s=settings.drift_window_s)
    stopping = stopping or threading.Event()
    desired_state = desired_state or DesiredStateStore(settings.roles)
    registry = ModelRegistry(bundles, settings, metrics, desired_state.read().roles)
    repository = repository or Repository(settings)
    follower = None
    if repository.mirror is not None:
        follower = StoreFollower(repository.mirror, settings.store_poll_s)
    reconciler = Reconciler(registry, metrics, repository, desired_state, follower)
    if repository.texts is not None:
        metrics.watch_texts(repository.texts)
    metrics.ready.set_function(lambda: registry.is_ready and not stopping.is_set())
    tracing = Tracing() if settings.tracing else None

    memory = RequestMemory()
    plan = MemoryPlan(settings.memory_bytes, memory, DECODING)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        watches = [asyncio.create_task(each.watch()) for each in (reconciler, plan)]
        if follower is not None:
            watches.append(asyncio.create_task(follower.watch()))
        plan.adjust()
        yield
        for watch in watches:
            watch.cancel()
        await registry.close()
        if tracing is not None:
            tracing.close()

    async def answer_problem(request: Request, error: Exception) -> Response:
        return make_response(log_and_make_problem(error, request.scope, metrics))

    api = FastAPI(
        title="tailfuse",
        lifespan=lifespan,
        redirect_slashes=False,
        openapi_url=None,  # see add_document
        redoc_url=None,
        docs_url=None,
        swagger_ui_oauth2_redirect_url=None,
    )
    for kind in (HTTPException, ServiceError, Exception):
        api.add_exception_handler(kind, answer_problem)
    predict, predict_batch = Predict(registry, settings), PredictBatch(registry, settings, metrics)
    api.include_router(prediction_routes(predict, predict_batch))
    api.include_router(model_routes(registry, settings))
    api.include_router(admin_routes(registry, reconciler, settings))
    api.include_router(health_routes(registry, metrics, stopping))
    api.include_router(docs_routes(settings.root_path, at_root=settings.no_console))
    if not settings.no_console:
        api.include_router(console_routes(registry, settings))
    mount_docs_files(api)
    return Router(
        add_document(api, registry, settings.root_path),
        registry=registry,
        reconciler=reconciler,
        predict=predict,
        predict_batch=predict_batch,
        v2=Rest(registry, settings, stopping),
        metrics=metrics,
        access=make_key_check(settings.api_keys, settings.admin_keys),
        max_concurrency=settings.max_concurrency,
        max_per_client=settings.max_per_client,
        connections=Connections(settings.max_connections, settings.max_per_client),
        memory=memory,
        metrics_port=settings.metrics_port,
        receive_timeout_s=settings.receive_timeout_s,
        send_timeout_s=settings.send_timeout_s,
        origins=settings.origins,
        tracing=tracing,
        log_requests=settings.log_requests,
    )


def add_document(api: FastAPI, registry: ModelRegistry, root_path: str) -> FastAPI:
    """Make /docs and /openapi.json show the inputs of the served bundle.

    The document is made and written once for each bundle, since that takes milliseconds.
    """
    described_bundle: Bundle | None = None
    written: bytes | memoryview = b""

    def describe() -> dict[str, Any]:
        nonlocal described_bundle, written
        if api.openapi_schema is None or described_bundle is not registry.bundle:
            described_bundle = registry.bundle
            api.openapi_schema = document(api, described_bundle, root_path)
            written = JSONResponse(api.openapi_schema).body
        return api.openapi_schema

    @api.get(DOCUMENT, include_in_schema=False)
    async def show_document() -> Response:
        describe()
        return Response(written, media_type="application/json")

    api.openapi = describe  # type: ignore[method-assign]
    return api
