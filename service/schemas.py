"""The shapes of what the service answers, for its document. POST /predict builds its answers without them."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from service.bundle import RuntimeName
from service.bundle.manifest import ClassInfo, Modality, SubsetMetrics


class Problem(BaseModel):
    """What went wrong (RFC 9457). More members say where: `modality`, `column`, `expected`, `received`."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(description="A stable name: urn:tailfuse:problem:…")
    title: str
    status: int
    detail: str
    instance: str = Field(description="The route, and in a batch the item.")
    error: str = Field(description="The same as `detail`, for clients of the Open Inference Protocol.")
    request_id: str


class ModelName(BaseModel):
    name: str
    version: str


class ModalityAnswer(BaseModel):
    """How much a modality counted."""

    present: bool
    weight: float = Field(ge=0, le=1, description="Fusion weight; all of them sum to 1.")
    confidence: float | None = Field(
        ge=0, le=1, description="How likely this modality alone is right; null if absent."
    )


class Answer(BaseModel):
    """A prediction."""

    request_id: str
    model: ModelName
    label: str
    probability: float = Field(ge=0, le=1)
    probabilities: dict[str, float] = Field(description="By class, most probable first.")
    modalities: dict[str, ModalityAnswer]


class BatchAnswer(BaseModel):
    """An answer or a problem for each item, in their order."""

    results: list[Answer | Problem]


class ModelInfo(BaseModel):
    """The loaded model."""

    name: str
    version: str
    label: str = Field(description="What is predicted.")
    classes: tuple[ClassInfo, ...]
    modalities: dict[str, Modality]
    input_schema: dict[str, Any] = Field(description="JSON Schema of `inputs`.")
    metrics: dict[str, SubsetMetrics] = Field(description="On the test rows, by subset of modalities.")
    runtime: RuntimeName
    device: str


class Status(BaseModel):
    status: str
