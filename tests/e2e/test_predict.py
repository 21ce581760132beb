"""Any subset of modalities, sent either way, is answered as the bundle itself answers it."""

from pathlib import Path
from typing import Any

import httpx2
import pytest
from tailfuse_service.bundle import Bundle

from tests.support.asking import MODALITIES, SUBSETS, as_form, as_json, assert_answers, join_names, some

pytestmark = pytest.mark.e2e


def asked(client: httpx2.Client, way: str, inputs: dict[str, Any]) -> httpx2.Response:
    if way == "json":
        return client.post("/predict", json=as_json(inputs))
    return client.post("/predict", files=as_form(inputs))


@pytest.mark.parametrize("way", ["json", "form"])
@pytest.mark.parametrize("subset", SUBSETS, ids=join_names)
def test_every_subset_is_answered_as_the_bundle_answers(
    client: httpx2.Client, digits: Bundle, samples: list[dict[str, Any]], subset: tuple[str, ...], way: str
) -> None:
    for sample in samples:
        inputs = some(sample, subset)
        response = asked(client, way, inputs)
        assert response.status_code == 200, response.text
        assert_answers(response.json(), digits, inputs)


@pytest.mark.parametrize("subset", SUBSETS, ids=join_names)
def test_weights_are_shared_among_the_present(
    client: httpx2.Client, samples: list[dict[str, Any]], subset: tuple[str, ...]
) -> None:
    answer = asked(client, "json", some(samples[0], subset)).json()
    present = {name for name, each in answer["modalities"].items() if each["present"]}
    assert present == set(subset)
    assert sum(each["weight"] for each in answer["modalities"].values()) == pytest.approx(1, abs=1e-5)
    assert all(0 < answer["modalities"][name]["confidence"] < 1 for name in present)
    assert sum(answer["probabilities"].values()) == pytest.approx(1, abs=1e-5)


def test_the_example_beside_the_quick_start_is_a_request(client: httpx2.Client, quickstart: Path) -> None:
    response = client.post("/predict", content=(quickstart / "example" / "numbers.json").read_bytes())
    assert response.status_code == 200, response.text
    assert not response.json()["modalities"]["image"]["present"]


def test_top_k_keeps_the_most_probable(client: httpx2.Client, samples: list[dict[str, Any]]) -> None:
    everything = client.post("/predict", json=as_json(samples[0])).json()["probabilities"]
    three = client.post("/predict?top_k=3", json=as_json(samples[0])).json()["probabilities"]
    assert list(three.items()) == list(everything.items())[:3]
    assert list(everything.values()) == sorted(everything.values(), reverse=True)


def test_a_callers_request_id_comes_back(client: httpx2.Client, samples: list[dict[str, Any]]) -> None:
    response = client.post("/predict", json=as_json(samples[0]), headers={"x-request-id": "mine-7"})
    assert response.headers["x-request-id"] == response.json()["request_id"] == "mine-7"


def test_the_model_tells_what_it_takes_and_is_worth(client: httpx2.Client, digits: Bundle) -> None:
    model = client.get("/model").json()
    assert list(model["modalities"]) == list(MODALITIES)
    assert [each["name"] for each in model["classes"]] == digits.manifest.class_names
    assert model["input_schema"] == digits.manifest.input_schema
    assert set(model["metrics"]) == {join_names(subset) for subset in SUBSETS}
