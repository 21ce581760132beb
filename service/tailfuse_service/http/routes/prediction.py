"""POST /predict, POST /predict/batch and the same below /models, as FastAPI documents them.

FastAPI does not answer them: the router sends a POST straight to its ASGI application. A POST that comes
through FastAPI reaches the same application, by a route class that leaves reading the request to it.
"""

from collections.abc import Callable, Coroutine
from typing import Annotated, Any, Literal, cast

from fastapi import APIRouter, Depends, Header, Path, Query
from fastapi.routing import APIRoute
from pydantic import Field
from pydantic.json_schema import SkipJsonSchema
from starlette.requests import Request
from starlette.responses import Response

from tailfuse_service.http.asgi import App
from tailfuse_service.http.openapi.document import (
    make_named_errors,
    problem_responses,
)
from tailfuse_service.http.openapi.example_errors import BATCH_ERRORS, PREDICT_ERRORS, VALUE_ERRORS
from tailfuse_service.http.openapi.schemas import Answer, BatchAnswer
from tailfuse_service.http.paths import MODEL, MODEL_VERSION, PREDICT, PREDICT_BATCH, PREDICT_MODALITY

TopK = Annotated[
    Annotated[int, Field(ge=1)] | SkipJsonSchema[None],
    Query(description="Answer only this many of the most probable classes."),
]
Explain = Annotated[
    bool,
    Query(
        description="Add the contribution of each present modality, and the answer without it. "
        "For M present modalities the model runs 2^M - 1 rows."
    ),
]
Prior = Annotated[
    Literal["uniform", "training", "tempered"] | SkipJsonSchema[None],
    Query(
        description="Class shares that the answer holds for: equal ones, those of the training rows, or "
        "these to the power 0.25. Default: those of the service."
    ),
]
RoutingKey = Annotated[
    str | SkipJsonSchema[None],
    Header(
        alias="X-Routing-Key",
        description="Requests with the same key get the same version: stable or canary.",
    ),
]
RequestId = Annotated[
    str | SkipJsonSchema[None],
    Header(
        alias="X-Request-Id",
        description="Returned in the answer and logged. The service creates one if it is missing or is not "
        "1 to 128 of the characters A-Za-z0-9._:/+=@-",
    ),
]
Name = Annotated[str, Path(description="The model's name.")]
ModalityName = Annotated[str, Path(description="The modality's name.")]
Version = Annotated[
    str, Path(description="Its version; `latest` is the last that is neither canary nor shadow.")
]


class HandOverRoute(APIRoute):
    """A route whose endpoint returns an ASGI application, which reads and answers the request itself."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        async def hand_over(_: Request) -> Response:
            return cast(Response, await self.endpoint())

        return hand_over


def name_model(name: Name) -> None:
    """The path's parameters below /models/{name}."""


def name_version(name: Name, version: Version) -> None:
    """The path's parameters below /models/{name}/versions/{version}."""


def prediction_routes(predict: App, predict_batch: App) -> APIRouter:
    """Return the routes whose requests these two applications answer."""
    router = APIRouter(tags=["prediction"], route_class=HandOverRoute)

    async def predict_sample(
        top_k: TopK = None,
        explain: Explain = False,
        prior: Prior = None,
        routing_key: RoutingKey = None,
        request_id: RequestId = None,
    ) -> App:
        """Send JSON, or a form with one part for each modality. Leave out missing modalities."""
        return predict

    async def predict_value(
        modality: ModalityName,
        top_k: TopK = None,
        explain: Explain = False,
        prior: Prior = None,
        routing_key: RoutingKey = None,
        request_id: RequestId = None,
    ) -> App:
        """Send the value of one modality as the whole body: the bytes of a file, a text, or JSON of numbers.
        All other modalities are missing. A modality called `batch` cannot be sent so."""
        return predict

    async def predict_samples(
        top_k: TopK = None,
        explain: Explain = False,
        prior: Prior = None,
        routing_key: RoutingKey = None,
        request_id: RequestId = None,
    ) -> App:
        """Answers are in the order of the items. An invalid item has a problem in its place."""
        return predict_batch

    answer = {"headers": {"X-Request-Id": {"schema": {"type": "string"}}}}
    for prefix, names, named, suffix in (
        ("", [], "", ""),
        (MODEL, [Depends(name_model)], " with a named model", "WithModel"),
        (MODEL_VERSION, [Depends(name_version)], " with a named version", "WithVersion"),
    ):
        # A fixed path before one with a name, which would match it too.
        for path, what, operation, model, example, errors, endpoint in (
            (PREDICT, "one sample", "predict", Answer, PREDICT, PREDICT_ERRORS, predict_sample),
            (
                PREDICT_BATCH, "many samples", "predictBatch", BatchAnswer, PREDICT_BATCH, BATCH_ERRORS,
                predict_samples,
            ),
            (
                PREDICT_MODALITY, "one value of one modality", "predictModality", Answer,
                f"{PREDICT}/image", VALUE_ERRORS, predict_value,
            ),
        ):  # fmt: skip
            responses = make_named_errors() if prefix else problem_responses(example, *errors)
            router.post(
                prefix + path,
                summary=f"Classify {what}{named}",
                operation_id=f"{operation}{suffix}",
                dependencies=names,
                response_model=model,
                response_description="The predictions" if model is BatchAnswer else "The prediction",
                responses={200: answer, **responses},
            )(endpoint)
    return router
