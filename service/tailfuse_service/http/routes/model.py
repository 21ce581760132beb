"""GET /model and /models: classes, inputs and test metrics of the loaded bundles."""

from fastapi import APIRouter

from tailfuse_service.bundle import Bundle
from tailfuse_service.http.openapi.document import problem_responses
from tailfuse_service.http.openapi.example_errors import (
    NOT_READY,
    TOO_MANY_REQUESTS,
    UNAUTHORIZED,
    UNKNOWN_MODEL,
)
from tailfuse_service.http.openapi.schemas import ModelInfo, Models, ModelSummary, ModelVersion
from tailfuse_service.http.paths import MODEL, MODEL_VERSION
from tailfuse_service.models.registry import ModelRegistry
from tailfuse_service.settings import Settings

ERRORS = UNAUTHORIZED, TOO_MANY_REQUESTS, NOT_READY


def model_routes(registry: ModelRegistry, settings: Settings) -> APIRouter:
    """Return the routes."""
    router = APIRouter(tags=["prediction"])

    @router.head("/model", include_in_schema=False)
    @router.get(
        "/model",
        summary="The loaded model",
        operation_id="getModel",
        responses=problem_responses("/model", *ERRORS),
    )
    async def model() -> ModelInfo:
        """Classes, modalities, input schema, and metrics on the test rows by subset of modalities."""
        return describe_model(registry.engine.bundle, settings)

    @router.head("/models", include_in_schema=False)
    @router.get(
        "/models",
        summary="All loaded models",
        operation_id="listModels",
        responses=problem_responses("/models", *ERRORS[:-1]),
    )
    async def models() -> Models:
        """Their versions and roles, and the default model."""
        return Models(
            default=registry.default,
            models=[
                ModelSummary(
                    name=name,
                    versions=[
                        ModelVersion(version=engine.manifest.version, role=versions.find_role(engine))
                        for engine in versions
                    ],
                )
                for name, versions in registry.models.items()
            ],
        )

    @router.head(MODEL, include_in_schema=False)
    @router.get(
        MODEL,
        summary="A model's stable version",
        operation_id="getNamedModel",
        responses=problem_responses("/models/digits", UNKNOWN_MODEL, *ERRORS),
    )
    async def named_model(name: str) -> ModelInfo:
        """As /model."""
        return describe_model(registry.stable(name).bundle, settings)

    @router.head(MODEL_VERSION, include_in_schema=False)
    @router.get(
        MODEL_VERSION,
        summary="A version of a model",
        operation_id="getModelVersion",
        responses=problem_responses("/models/digits/versions/2", UNKNOWN_MODEL, *ERRORS),
    )
    async def model_version(name: str, version: str) -> ModelInfo:
        """As /model; `latest` is the last version that is neither canary nor shadow."""
        return describe_model(registry.find(name, version).bundle, settings)

    return router


def describe_model(bundle: Bundle, settings: Settings) -> ModelInfo:
    """Return what a client may know of a bundle."""
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
