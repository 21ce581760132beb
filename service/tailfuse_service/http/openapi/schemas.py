"""Schemas of the service's answers, for its document. POST /predict builds its answers without them."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import SkipJsonSchema

from tailfuse_service.bundle import RuntimeName
from tailfuse_service.bundle.manifest import ClassInfo, SubsetMetrics
from tailfuse_service.bundle.shapley import MAX_EXACT, PAIRS
from tailfuse_service.modalities import AnyModality


def without_default(schema: dict[str, Any]) -> None:
    """Remove the default from a schema: an omitted member is not null."""
    del schema["default"]


class Problem(BaseModel):
    """An error (RFC 9457). It may have more members, which locate it."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(description="A stable name: urn:tailfuse:problem:…")
    title: str
    status: int
    detail: str
    instance: str = Field(description="The route, and in a batch the item.")
    error: str = Field(description="The same as `detail`, for clients of the Open Inference Protocol.")
    request_id: str
    modality: str | SkipJsonSchema[None] = Field(
        default=None, description="The modality that is wrong.", json_schema_extra=without_default
    )
    column: str | SkipJsonSchema[None] = Field(
        default=None, description="The column that is wrong.", json_schema_extra=without_default
    )
    parameter: str | SkipJsonSchema[None] = Field(
        default=None, description="The query parameter that is wrong.", json_schema_extra=without_default
    )
    expected: Any = Field(default=None, description="What would be right.", json_schema_extra=without_default)
    received: Any = Field(default=None, description="What was sent.", json_schema_extra=without_default)
    retry_after_s: float | SkipJsonSchema[None] = Field(
        default=None, description="Seconds until a retry may succeed.", json_schema_extra=without_default
    )


class ModelName(BaseModel):
    """A model and its version."""

    name: str
    version: str


class ModalityAnswer(BaseModel):
    """A modality's share in the answer."""

    present: bool
    weight: float = Field(ge=0, le=1, description="Fusion weight; all of them sum to 1.")
    confidence: float | None = Field(
        ge=0, le=1, description="Probability that this modality alone is right; null if absent."
    )


class PartAnswer(BaseModel):
    """The answer to a subset of the modalities."""

    label: str
    probability: float = Field(ge=0, le=1, description="Of this label.")
    probability_of_winner: float = Field(ge=0, le=1, description="Of the winning class.")


class Explanation(BaseModel):
    """The explanation by present modality. The winning class is that of the answer's label.

    `prior` and all `contributions` sum to the answer's `probability`.
    """

    prior: float = Field(ge=0, le=1, description="Probability of the winning class without any modality.")
    contributions: dict[str, float] = Field(
        description="By modality: its Shapley value for the probability of the winning class."
    )
    method: Literal["exact", "sampled"] = Field(
        description=f"From all subsets of the modalities, or from {2 * PAIRS} sampled orders if more than "
        f"{MAX_EXACT} are present."
    )
    standard_errors: dict[str, float] | None = Field(description="Of the contributions; null if exact.")
    without: dict[str, PartAnswer | None] = Field(
        description="By modality: the answer without it; null if it is the only one."
    )
    alone: dict[str, PartAnswer] = Field(description="By modality: the answer to it alone.")
    disagree: bool = Field(description="Whether two modalities alone have different labels.")


class Answer(BaseModel):
    """A prediction."""

    request_id: str
    model: ModelName
    label: str
    probability: float = Field(ge=0, le=1)
    probabilities: dict[str, float] = Field(description="By class, most probable first.")
    modalities: dict[str, ModalityAnswer]
    conflict: Annotated[float, Field(ge=0, le=1)] | SkipJsonSchema[None] = Field(
        default=None,
        description="Probability that the values of a modality belong to another sample than the others'. "
        "Only with two or more modalities, and not of older bundles.",
        json_schema_extra=without_default,
    )
    prior: Literal["uniform", "training", "tempered", "given"] | SkipJsonSchema[None] = Field(
        default=None,
        description="Class shares that the answer holds for, where they are not the graph's own: equal ones, "
        "unless `tailfuse adapt` has changed them. `given` are those of a file.",
        json_schema_extra=without_default,
    )
    explanation: Explanation | SkipJsonSchema[None] = Field(
        default=None, description="Only with `explain=true`.", json_schema_extra=without_default
    )


class BatchAnswer(BaseModel):
    """An answer or a problem for each item, in order."""

    results: list[Answer | Problem]


class ModelInfo(BaseModel):
    """The loaded model."""

    name: str
    version: str
    label: str = Field(description="What is predicted.")
    classes: tuple[ClassInfo, ...]
    modalities: dict[str, AnyModality]
    input_schema: dict[str, Any] = Field(description="JSON Schema of `inputs`.")
    metrics: dict[str, SubsetMetrics] = Field(description="On the test rows, by subset of modalities.")
    runtime: RuntimeName
    device: str


class ModelVersion(BaseModel):
    """A version of a model and its role."""

    version: str
    role: str = Field(description="stable, canary, shadow or none.")


class ModelSummary(BaseModel):
    """A model and its loaded versions."""

    name: str
    versions: list[ModelVersion]


class Models(BaseModel):
    """The loaded models."""

    default: str | None = Field(description="Model used when the request names none.")
    models: list[ModelSummary]


class Status(BaseModel):
    """Whether the service is alive or ready."""

    status: str
