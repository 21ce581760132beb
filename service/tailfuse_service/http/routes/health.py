"""GET /healthz, /readyz and /metrics, for orchestration and monitoring."""

import threading
from typing import Any

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST

from tailfuse_service.errors import NotReady
from tailfuse_service.http.openapi.document import problem_responses
from tailfuse_service.http.openapi.example_errors import NOT_READY
from tailfuse_service.http.openapi.schemas import Status
from tailfuse_service.http.paths import HEALTHZ, METRICS, READYZ
from tailfuse_service.metrics import Metrics
from tailfuse_service.metrics.scrapes import Scrapes
from tailfuse_service.models.registry import ModelRegistry

OPEN: dict[str, Any] = {"security": []}  # needs no key


def health_routes(registry: ModelRegistry, metrics: Metrics, stopping: threading.Event) -> APIRouter:
    """Return the routes."""
    router = APIRouter(tags=["operation"])
    scrapes = Scrapes(metrics.text)

    @router.head(HEALTHZ, include_in_schema=False)
    @router.get(HEALTHZ, summary="Liveness", operation_id="checkLiveness", openapi_extra=OPEN)
    async def healthz() -> Status:
        return Status(status="alive")

    @router.head(READYZ, include_in_schema=False)
    @router.get(
        READYZ,
        summary="Readiness",
        operation_id="checkReadiness",
        responses=problem_responses(READYZ, NOT_READY),
        openapi_extra=OPEN,
    )
    async def readyz() -> Status:
        """503 until a bundle is loaded, and while the service stops."""
        _ = registry.engine
        if stopping.is_set():
            raise NotReady("the service is stopping")
        return Status(status="ready")

    @router.head(METRICS, include_in_schema=False)
    @router.get(
        METRICS,
        summary="Metrics for Prometheus",
        operation_id="getMetrics",
        response_class=Response,
        openapi_extra=OPEN,
    )
    async def prometheus() -> Response:
        return Response(await scrapes.read(), media_type=CONTENT_TYPE_LATEST)

    return router
