"""Serve the bundle with FastAPI as in its tutorial: pydantic models, one run per request.

`uvicorn --factory serving_bench.peers.fastapi_app:app`
"""

from typing import Annotated, Any

import orjson
from fastapi import FastAPI, Form, Request, UploadFile
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, create_model
from tailfuse_service.bundle import Bundle, ServiceError
from tailfuse_service.http.openapi import schemas

from serving_bench.peers.predicting import Answer, load_bundle, predict_samples
from serving_bench.workloads import IMAGE, TABULAR, get_tabular_columns

TYPES = {"number": float, "boolean": bool, "category": str}


class Strict(BaseModel):
    """Refuse unknown keys, as the service does."""

    model_config = ConfigDict(extra="forbid")


def app() -> FastAPI:
    """Return the application for uvicorn."""
    return create_app(load_bundle())


def create_app(bundle: Bundle) -> FastAPI:
    """Make an application that accepts the bundle's image and row, as JSON or as a form."""
    columns: dict[str, Any] = {
        column.name: (TYPES[column.type] | None, None) for column in get_tabular_columns(bundle)
    }
    row = create_model("Row", __base__=Strict, **columns)
    fields: dict[str, Any] = {IMAGE: (str | None, None), TABULAR: (row | None, None)}
    inputs = create_model("Inputs", __base__=Strict, **fields)
    item = create_model("Item", __base__=Strict, inputs=(inputs, ...))
    items = create_model("Items", __base__=Strict, items=(list[item], ...))  # type: ignore[valid-type]
    api = FastAPI()

    @api.post("/predict", response_model=schemas.Answer, response_model_exclude_unset=True)
    async def predict(body: item) -> Any:  # type: ignore[valid-type]
        return answer(given(body))

    @api.post("/predict/form", response_model=schemas.Answer, response_model_exclude_unset=True)
    async def predict_form(
        image: UploadFile | None = None, clinical: Annotated[str | None, Form()] = None
    ) -> Any:
        values: dict[str, Any] = {}
        if image is not None:
            values[IMAGE] = await image.read()
        if clinical is not None:
            values[TABULAR] = orjson.loads(clinical)
        return answer(values)

    @api.post("/predict/batch", response_model=schemas.BatchAnswer, response_model_exclude_unset=True)
    async def predict_batch(body: items) -> Any:  # type: ignore[valid-type]
        samples = [bundle.sample(given(each)) for each in body.items]  # type: ignore[attr-defined]
        return {"results": predict_samples(bundle, samples)}

    @api.exception_handler(ServiceError)
    def refuse(_: Request, error: ServiceError) -> JSONResponse:
        return JSONResponse({"detail": error.detail}, error.status)

    def given(one: Any) -> dict[str, Any]:
        return one.inputs.model_dump(exclude_none=True)  # type: ignore[no-any-return]

    def answer(values: dict[str, Any]) -> Answer:
        return predict_samples(bundle, [bundle.sample(values)])[0]

    return api
