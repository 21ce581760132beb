"""A trained bundle explains its answers, on both runtimes, as its own answers to every subset say."""

from collections.abc import Callable
from itertools import permutations
from typing import Any

import httpx2
import pytest
from tailfuse_service.bundle import Bundle

from tests.support.asking import MODALITIES, SUBSETS, as_form, as_json, some
from tests.support.process import TIMEOUT_S, Service

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize(("runtime", "tolerance"), [("onnx", 1e-5), ("torchscript", 1e-4)])
def test_explanations_are_made_of_the_answers_to_every_subset(
    start: Callable[..., Service],
    digits: Bundle,
    samples: list[dict[str, Any]],
    runtime: str,
    tolerance: float,
) -> None:
    service = start("--runtime", runtime)
    with httpx2.Client(base_url=service.url, timeout=TIMEOUT_S, trust_env=False) as client:
        body = {"items": [as_json(sample) for sample in samples]}
        results = client.post("/predict/batch?explain=true", json=body).json()["results"]
        alone = client.post("/predict?explain=true", files=as_form(samples[0])).json()
    assert alone["explanation"] == results[0]["explanation"]
    names = digits.manifest.class_names
    for sample, result in zip(samples, results, strict=True):
        output = digits.run([digits.sample(some(sample, subset)) for subset in SUBSETS])
        told = dict(zip(SUBSETS, output.probabilities, strict=True))
        winner = names.index(result["label"])
        assert told[MODALITIES][winner] == pytest.approx(told[MODALITIES].max(), abs=tolerance)
        values = {(): 0.1} | {subset: float(each[winner]) for subset, each in told.items()}
        explanation = result["explanation"]
        assert explanation["contributions"] == pytest.approx(contributions(values), abs=tolerance)
        whole = explanation["prior"] + sum(explanation["contributions"].values())
        assert whole == pytest.approx(result["probability"], abs=1e-9)
        for name in MODALITIES:
            others = tuple(other for other in MODALITIES if other != name)
            for part, subset in ((explanation["alone"], (name,)), (explanation["without"], others)):
                most = told[subset].max()  # the runtimes may differ where two classes are all but alike
                assert told[subset][names.index(part[name]["label"])] == pytest.approx(most, abs=tolerance)
                assert part[name]["probability"] == pytest.approx(most, abs=tolerance)
                assert part[name]["probability_of_winner"] == pytest.approx(values[subset], abs=tolerance)
    assert service.stop() == 0


def contributions(values: dict[tuple[str, ...], float]) -> dict[str, float]:
    """What each modality adds in the mean over all orders, by the value of each subset."""
    orders = list(permutations(MODALITIES))
    added = dict.fromkeys(MODALITIES, 0.0)
    for order in orders:
        known: tuple[str, ...] = ()
        for name in order:
            more = tuple(each for each in MODALITIES if each in (*known, name))
            added[name] += (values[more] - values[known]) / len(orders)
            known = more
    return added
