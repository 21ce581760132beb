"""One sample's raw values as requests, and what the opened bundle answers to them."""

import base64
import json
from collections.abc import Iterable, Sequence
from itertools import combinations
from typing import Any

import pytest
from tailfuse_service.bundle import Bundle

Inputs = dict[str, Any]  # a picture's bytes, or numbers by column

MODALITIES = ("image", "fourier", "shape")
SUBSETS = [subset for n in (1, 2, 3) for subset in combinations(MODALITIES, n)]
ABSENT = {"present": False, "weight": 0.0, "confidence": None}


def some(sample: Inputs, subset: Iterable[str]) -> Inputs:
    return {name: sample[name] for name in subset}


def as_json(inputs: Inputs) -> dict[str, Any]:
    """The body of POST /predict, and an item of a batch."""
    return {
        "inputs": {
            name: base64.b64encode(value).decode() if isinstance(value, bytes) else value
            for name, value in inputs.items()
        }
    }


def as_form(inputs: Inputs) -> list[tuple[str, tuple[str | None, Any, str]]]:
    """The parts of a form: files for pictures, JSON for numbers."""
    return [
        (name, (f"{name}.png", value, "image/png"))
        if isinstance(value, bytes)
        else (name, (None, json.dumps(value), "application/json"))
        for name, value in inputs.items()
    ]


def assert_answers(answer: dict[str, Any], bundle: Bundle, inputs: Inputs, tolerance: float = 1e-5) -> None:
    """`answer` is what the bundle itself says about this sample, asked alone."""
    output = bundle.run([bundle.sample(inputs)])
    named = dict(zip(bundle.manifest.class_names, output.probabilities[0].tolist(), strict=True))
    assert answer["probabilities"] == pytest.approx(named, abs=tolerance)
    assert answer["label"] == next(iter(answer["probabilities"]))
    assert answer["probability"] == max(answer["probabilities"].values())
    assert list(answer["modalities"]) == list(bundle.manifest.modalities)
    for m, (name, modality) in enumerate(answer["modalities"].items()):
        if inputs.get(name) is None:
            assert modality == ABSENT
        else:
            assert modality["present"] is True
            assert modality["weight"] == pytest.approx(output.weights[0, m], abs=tolerance)
            assert modality["confidence"] == pytest.approx(output.confidences[0, m], abs=tolerance)


def assert_problem(problem: dict[str, Any], slug: str, status: int) -> None:
    """A problem detail of that kind, with all that each of them has."""
    assert problem["type"] == f"urn:tailfuse:problem:{slug}", problem
    assert problem["status"] == status
    assert problem["error"] == problem["detail"]
    assert all(problem[key] for key in ("title", "detail", "instance", "request_id"))


def join_names(subset: Sequence[str]) -> str:
    """A subset as a test's name."""
    return "+".join(subset)
