"""What the service answers, as frozen dataclasses. Members that they do not know are left out."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class ModelName:
    """Which bundle has answered."""

    name: str
    version: str


@dataclass(frozen=True, slots=True)
class Modality:
    """How much a modality counted: fusion weights sum to 1; confidence (0..1) is None if it is absent."""

    present: bool
    weight: float
    confidence: float | None


@dataclass(frozen=True, slots=True)
class PartAnswer:
    """The answer to some of the modalities; `probability` is of this label."""

    label: str
    probability: float
    probability_of_winner: float


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why the answer is what it is, by present modality: `prior` and all `contributions` sum to the answer's
    probability. `without` is None for the only modality, `standard_errors` unless they are sampled."""

    prior: float
    contributions: Mapping[str, float]
    method: str
    standard_errors: Mapping[str, float] | None
    without: Mapping[str, PartAnswer | None]
    alone: Mapping[str, PartAnswer]
    disagree: bool


@dataclass(frozen=True, slots=True)
class Answer:
    """A prediction; `probabilities` by class, the most probable first. Explained only if that was asked."""

    request_id: str
    model: ModelName
    label: str
    probability: float
    probabilities: Mapping[str, float]
    modalities: Mapping[str, Modality]
    explanation: Explanation | None = None


@dataclass(frozen=True, slots=True)
class ClassInfo:
    """A class, its training rows, and its third of the classes by them: many, medium or few."""

    name: str
    train_count: int
    shot: str


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """The loaded model. `modalities` and `metrics` are as GET /model says them."""

    name: str
    version: str
    label: str  # what is predicted
    classes: tuple[ClassInfo, ...]
    modalities: Mapping[str, Mapping[str, Any]]
    input_schema: Mapping[str, Any]
    metrics: Mapping[str, Mapping[str, Any]]
    runtime: str
    device: str


def answer_of(document: Any) -> Answer:
    """Raises KeyError or TypeError if it is none."""
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
        explanation=explanation_of(document["explanation"]) if "explanation" in document else None,
    )


def explanation_of(document: Any) -> Explanation:
    """Raises KeyError or TypeError if it is none."""
    members = {name: document[name] for name in Explanation.__slots__}
    parts = {
        member: {name: part and part_of(part) for name, part in document[member].items()}
        for member in ("without", "alone")
    }
    return Explanation(**members | parts)


def part_of(document: Any) -> PartAnswer:
    """The answer to some of the modalities. Raises as explanation_of."""
    return PartAnswer(document["label"], document["probability"], document["probability_of_winner"])


def model_of(document: Any) -> ModelInfo:
    """Raises KeyError or TypeError if it is none."""
    classes = tuple(
        ClassInfo(each["name"], each["train_count"], each["shot"]) for each in document["classes"]
    )
    names = ModelInfo.__slots__
    return ModelInfo(**{name: document[name] for name in names} | {"classes": classes})
