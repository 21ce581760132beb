"""Answers of the service as frozen dataclasses. Unknown JSON members are ignored."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class ModelName:
    """Name and version of the bundle that answered."""

    name: str
    version: str


@dataclass(frozen=True, slots=True)
class Modality:
    """Contribution of a modality. Fusion weights sum to 1; confidence (0..1) is None if it is absent."""

    present: bool
    weight: float
    confidence: float | None


@dataclass(frozen=True, slots=True)
class PartAnswer:
    """The prediction from some of the modalities; `probability` is that of `label`."""

    label: str
    probability: float
    probability_of_winner: float


@dataclass(frozen=True, slots=True)
class Explanation:
    """Explanation of an answer by present modality.

    `prior` and all `contributions` sum to the answer's probability. `without` is None for the only modality,
    `standard_errors` is None unless contributions are sampled.
    """

    prior: float
    contributions: Mapping[str, float]
    method: str
    standard_errors: Mapping[str, float] | None
    without: Mapping[str, PartAnswer | None]
    alone: Mapping[str, PartAnswer]
    disagree: bool


@dataclass(frozen=True, slots=True)
class Answer:
    """A prediction; `probabilities` are sorted, highest to lowest. `explanation` is None unless requested.

    `prior` names the class shares that it holds for; None is the bundle's own prior. `conflict` is the
    probability that a modality belongs to another sample than the others; None for a single modality.
    """

    request_id: str
    model: ModelName
    label: str
    probability: float
    probabilities: Mapping[str, float]
    modalities: Mapping[str, Modality]
    explanation: Explanation | None = None
    prior: str | None = None
    conflict: float | None = None


@dataclass(frozen=True, slots=True)
class ClassInfo:
    """A class, its number of training rows, and its group by that number: many, medium or few."""

    name: str
    train_count: int
    shot: str


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """The loaded model. `modalities` and `metrics` are those of GET /model."""

    name: str
    version: str
    label: str  # column that is predicted
    classes: tuple[ClassInfo, ...]
    modalities: Mapping[str, Mapping[str, Any]]
    input_schema: Mapping[str, Any]
    metrics: Mapping[str, Mapping[str, Any]]
    runtime: str
    device: str


def parse_answer(document: Any) -> Answer:
    """Parse an answer. Raises KeyError or TypeError if it is not one."""
    return Answer(
        request_id=document["request_id"],
        model=ModelName(document["model"]["name"], document["model"]["version"]),
        label=document["label"],
        probability=document["probability"],
        probabilities=document["probabilities"],
        modalities={
            name: Modality(each["present"], each["weight"], each["confidence"])
            for name, each in document["modalities"].items()
        },
        explanation=parse_explanation(document["explanation"]) if "explanation" in document else None,
        prior=document.get("prior"),
        conflict=document.get("conflict"),
    )


def parse_explanation(document: Any) -> Explanation:
    """Parse an explanation. Raises KeyError or TypeError if it is not one."""
    members = {name: document[name] for name in Explanation.__slots__}
    parts = {
        member: {name: part and parse_part_answer(part) for name, part in document[member].items()}
        for member in ("without", "alone")
    }
    return Explanation(**members | parts)


def parse_part_answer(document: Any) -> PartAnswer:
    """Parse a partial answer. Raises KeyError or TypeError if it is not one."""
    return PartAnswer(document["label"], document["probability"], document["probability_of_winner"])


def parse_model(document: Any) -> ModelInfo:
    """Parse a model's description. Raises KeyError or TypeError if it is not one."""
    classes = tuple(
        ClassInfo(each["name"], each["train_count"], each["shot"]) for each in document["classes"]
    )
    names = ModelInfo.__slots__
    return ModelInfo(**{name: document[name] for name in names} | {"classes": classes})
