"""A sample's answer is its own: neither its neighbours nor its place nor the hour change it."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tailfuse_service.bundle import Bundle

from tests.support.asking import SUBSETS, as_json, assert_answers, assert_problem, some

pytestmark = pytest.mark.e2e

# A sample of the dozen, and what of it is sent.
Choice = tuple[int, tuple[str, ...]]
good = st.tuples(st.integers(0, 11), st.sampled_from(SUBSETS))
bad = st.sampled_from(
    [
        ({"inputs": {}}, "missing-modality"),
        ({"inputs": {"shape": None}}, "missing-modality"),
        ({"inputs": {"smell": 1}}, "unknown-modality"),
        ({"inputs": {"image": "AAAA"}}, "undecodable-image"),
        ({"inputs": {"shape": [1, 2]}}, "invalid-input"),
        ({"inputs": {"fourier": {"fou_00": float("nan")}}}, "not-finite"),
        ({"input": {}}, "invalid-input"),
        (None, "invalid-input"),
    ]
)
bounded = settings(max_examples=50)


@bounded
@given(items=st.lists(good | bad, min_size=1, max_size=12))
def test_in_a_batch_as_alone(
    client: httpx2.Client, digits: Bundle, samples: list[dict[str, Any]], items: list[Any]
) -> None:
    bodies = [as_json(some(samples[i[0]], i[1])) if isinstance(i[0], int) else i[0] for i in items]
    # Not by httpx2's `json`, which refuses NaN before the service can.
    response = client.post("/predict/batch", content=json.dumps({"items": bodies}))
    assert response.status_code == 200, response.text
    for item, result in zip(items, response.json()["results"], strict=True):
        if isinstance(item[0], int):
            assert_answers(result, digits, some(samples[item[0]], item[1]))
        else:
            assert_problem(result, item[1], 422)


@settings(max_examples=8)
@given(choices=st.lists(good, min_size=33, max_size=33))
def test_beside_32_others_as_alone(
    client: httpx2.Client, digits: Bundle, samples: list[dict[str, Any]], choices: list[Choice]
) -> None:
    everyone = [some(samples[row], subset) for row, subset in choices]
    with ThreadPoolExecutor(33) as pool:
        responses = list(pool.map(lambda inputs: client.post("/predict", json=as_json(inputs)), everyone))
    for inputs, response in zip(everyone, responses, strict=True):
        assert_answers(response.json(), digits, inputs)


@bounded
@given(choice=good, nothing=st.sampled_from([lambda name: None, lambda name: "" if name == "image" else {}]))
def test_leaving_out_is_the_same_as_sending_nothing(
    client: httpx2.Client, samples: list[dict[str, Any]], choice: Choice, nothing: Callable[[str], Any]
) -> None:
    row, subset = choice
    sent = as_json(some(samples[row], subset))
    spelt = {"inputs": {name: nothing(name) for name in samples[row]} | sent["inputs"]}
    left_out, absent = (client.post("/predict", json=body).json() for body in (sent, spelt))
    assert {**left_out, "request_id": ""} == {**absent, "request_id": ""}
