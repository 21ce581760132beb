"""The application: its parts made and joined. Opening the bundle and the port is `__main__`'s business."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from fastapi_swagger import patch_fastapi
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from service.asgi import App
from service.bundle import Bundle
from service.engine import Engine
from service.errors import ServiceError
from service.front import Front
from service.metrics import Metrics
from service.openapi import document
from service.problems import noted, response_of
from service.routes.health import health_routes
from service.routes.model import model_routes
from service.routes.predict import Predict, PredictBatch
from service.settings import Settings


def create_app(settings: Settings, bundle: Bundle | None = None) -> Front:
    """The ASGI application that answers with `bundle`; without one it is alive, but not ready."""
    metrics = Metrics(bundle)
    engine = Engine(bundle, settings, metrics)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await engine.close()

    async def answer_problem(request: Request, error: Exception) -> Response:
        return response_of(noted(error, request.scope, metrics))

    api = FastAPI(
        title="tailfuse",
        lifespan=lifespan,
        redirect_slashes=False,
        redoc_url=None,
        docs_url=None,
        swagger_ui_oauth2_redirect_url=None,
    )
    patch_fastapi(api, docs_url="/docs")
    for kind in (HTTPException, ServiceError, Exception):
        api.add_exception_handler(kind, answer_problem)
    endpoints: dict[str, App] = {
        "/predict": Predict(engine, settings),
        "/predict/batch": PredictBatch(engine, settings, metrics),
    }
    # The front reaches these without the router, which still has to know them: to say 405.
    api.router.routes.extend(Route(path, endpoint, methods=["POST"]) for path, endpoint in endpoints.items())
    api.include_router(model_routes(engine, settings))
    api.include_router(health_routes(engine, metrics))
    return Front(with_document(api, bundle), shortcuts=endpoints, metrics=metrics)


def with_document(api: FastAPI, bundle: Bundle | None) -> FastAPI:
    """Have /docs and /openapi.json show the bundle's own inputs."""

    def described() -> dict[str, Any]:
        if api.openapi_schema is None:
            api.openapi_schema = document(api, bundle)
        return api.openapi_schema

    api.openapi = described  # type: ignore[method-assign]
    return api
