"""The client's shapes are those of the service's document."""

from collections.abc import Iterator
from dataclasses import MISSING, asdict, fields
from pathlib import Path
from typing import Any

import pytest
import yaml
from tailfuse_client import (
    Answer,
    ClassInfo,
    Explanation,
    Modality,
    ModelInfo,
    ModelName,
    PartAnswer,
    Problem,
)
from tailfuse_client.answers import parse_answer
from tailfuse_client.problems import URN

DOCUMENT = yaml.safe_load((Path(__file__).parents[2] / "openapi" / "openapi.yaml").read_text())
SCHEMAS = DOCUMENT["components"]["schemas"]
KINDS = {
    "Answer": Answer,
    "ModelName": ModelName,
    "ModalityAnswer": Modality,
    "PartAnswer": PartAnswer,
    "Explanation": Explanation,
    "ModelInfo": ModelInfo,
    "ClassInfo": ClassInfo,
}
TYPES = {"str": "string", "float": "number", "int": "integer", "bool": "boolean"}


def objects(value: Any) -> Iterator[dict[str, Any]]:
    """Every object inside a value."""
    if isinstance(value, dict):
        yield value
    for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from objects(each)


@pytest.mark.parametrize("name", KINDS)
def test_members_are_those_of_the_document(name: str) -> None:
    schema = SCHEMAS[name]
    own = {field.name: str(getattr(field.type, "__name__", field.type)) for field in fields(KINDS[name])}
    assert set(own) == set(schema["properties"])
    needed = {field.name for field in fields(KINDS[name]) if field.default is MISSING}
    assert needed == set(schema["required"])
    for member, told in schema["properties"].items():
        if own[member] in TYPES:
            assert told["type"] == TYPES[own[member]], member


def test_every_example_of_an_answer_is_read_whole() -> None:
    answers = [each for each in objects(DOCUMENT["paths"]) if {"label", "probabilities"} <= each.keys()]
    assert len(answers) >= 2
    for each in answers:
        assert asdict(parse_answer(each)) == {"explanation": None, "prior": None, "conflict": None, **each}


def test_every_example_of_a_problem_is_read_whole() -> None:
    problems = [each for each in objects(DOCUMENT["paths"]) if str(each.get("type")).startswith(URN)]
    assert len({each["type"] for each in problems}) >= 20
    for each in problems:
        problem = Problem(each)
        assert each.pop("error") == problem.detail
        assert {name: getattr(problem, name) for name in each} == each


def test_the_routes_are_those_of_the_document() -> None:
    for method, route in (
        ("post", "/predict"),
        ("post", "/predict/batch"),
        ("get", "/model"),
        ("get", "/readyz"),
    ):
        assert method in DOCUMENT["paths"][route]
    for route in ("/predict", "/predict/batch"):
        assert {"top_k", "explain"} <= {
            each["name"] for each in DOCUMENT["paths"][route]["post"]["parameters"]
        }
