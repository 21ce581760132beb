"""GET /model: what the loaded bundle knows, takes and is worth."""

from fastapi import APIRouter

from service.example_errors import NOT_READY, TOO_MANY_REQUESTS, UNAUTHORIZED
from service.openapi import problem_responses
from service.schemas import ModelInfo
from service.serving import Serving
from service.settings import Settings


def model_routes(serving: Serving, settings: Settings) -> APIRouter:
    """The routes of what is served."""
    router = APIRouter(tags=["prediction"])

    @router.head("/model", include_in_schema=False)
    @router.get(
        "/model",
        summary="The loaded model",
        responses=problem_responses("/model", UNAUTHORIZED, TOO_MANY_REQUESTS, NOT_READY),
    )
    async def model() -> ModelInfo:
        """Classes, modalities, input schema, and the metrics on the test rows by subset of modalities."""
        bundle = serving.engine.bundle
        manifest = bundle.manifest
        return ModelInfo(
            name=manifest.name,
            version=manifest.version,
            label=manifest.label,
            classes=manifest.classes,
            modalities=manifest.modalities,
            input_schema=manifest.input_schema,
            metrics=manifest.metrics,
            runtime=settings.runtime,
            device=bundle.runtime.device,
        )

    return router
