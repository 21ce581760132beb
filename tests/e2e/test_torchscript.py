"""The other runtime gives the same answers."""

from collections.abc import Callable
from typing import Any

import httpx2
import pytest
from tailfuse_service.bundle import Bundle

from tests.support.asking import SUBSETS, as_json, assert_answers, some
from tests.support.process import TIMEOUT_S, Service

pytestmark = pytest.mark.e2e


def test_torchscript_answers_as_onnx(
    start: Callable[..., Service], digits: Bundle, samples: list[dict[str, Any]]
) -> None:
    service = start("--runtime", "torchscript")
    items = [some(sample, subset) for sample in samples for subset in SUBSETS]
    with httpx2.Client(base_url=service.url, timeout=TIMEOUT_S, trust_env=False) as client:
        assert client.get("/model").json()["runtime"] == "torchscript"
        body = {"items": [as_json(inputs) for inputs in items]}
        results = client.post("/predict/batch", json=body).json()["results"]
    for inputs, result in zip(items, results, strict=True):
        assert_answers(result, digits, inputs, tolerance=1e-4)
    assert service.stop() == 0
