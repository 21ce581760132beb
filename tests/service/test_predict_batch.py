"""POST /predict/batch: answers and problems side by side."""

from typing import Any

import numpy as np
from starlette.testclient import TestClient

from tests.support.clients import without_id

GOOD = [{"inputs": {"clinical": {"age": age}}} for age in (20, 40, 60)]


def test_answers_come_in_the_order_of_the_items(client: TestClient) -> None:
    results = client.post("/predict/batch", json={"items": GOOD}).json()["results"]
    alone = [client.post("/predict", json=item).json() for item in GOOD]
    assert [without_id(result) for result in results] == [without_id(answer) for answer in alone]


def test_top_k_holds_for_every_item(client: TestClient) -> None:
    results = client.post("/predict/batch?top_k=1", json={"items": GOOD}).json()["results"]
    assert [len(result["probabilities"]) for result in results] == [1, 1, 1]


def test_a_bad_item_gets_a_problem_and_harms_no_neighbour(client: TestClient) -> None:
    bad = [
        {"inputs": {"clinical": {"age": "old"}}},
        {"inputs": {"smell": 1}},
        {"inputs": {}},
        {"input": {}},
        4,
        {"inputs": {"image": "AAAA"}},
    ]
    items = [item for each in bad for item in (GOOD[0], each)]
    response = client.post("/predict/batch", json={"items": items})
    assert response.status_code == 200
    results = response.json()["results"]
    good = without_id(client.post("/predict", json=GOOD[0]).json())
    assert [without_id(result) for result in results[::2]] == [good] * len(bad)
    assert [result["type"].rpartition(":")[2] for result in results[1::2]] == [
        "invalid-input", "unknown-modality", "missing-modality", "invalid-input", "invalid-input",
        "undecodable-image",
    ]  # fmt: skip
    assert results[1]["instance"] == "/predict/batch#/items/1"


def test_an_items_problem_has_the_shape_of_an_error_body(client: TestClient) -> None:
    item = {"inputs": {"clinical": {"age": "old"}}}
    body = client.post("/predict", json=item).json()
    (result,) = client.post("/predict/batch", json={"items": [item]}).json()["results"]
    assert list(result) == list(body)
    differing = {"request_id", "instance"}
    assert {key: result[key] for key in result if key not in differing} == {
        key: body[key] for key in body if key not in differing
    }


def test_nan_in_one_item_harms_no_neighbour(client: TestClient) -> None:
    body = b'{"items": [{"inputs": {"clinical": {"age": 20}}}, {"inputs": {"clinical": {"age": NaN}}}]}'
    results = client.post("/predict/batch", content=body).json()["results"]
    assert results[0]["label"]
    assert results[1]["column"] == "age"


def test_rows_are_counted_not_requests(make_client: Any, fake_bundle: Any, runtime: Any) -> None:
    client = make_client(fake_bundle, max_batch_size=4)
    items = [{"inputs": {"notes": "spot"}}] * 10
    assert len(client.post("/predict/batch", json={"items": items}).json()["results"]) == 10
    assert runtime.sizes == [4, 4, 2]


def test_of_a_run_that_fails_only_the_guilty_item_fails(
    make_client: Any, fake_bundle: Any, runtime: Any
) -> None:
    def fail_on_pictures(batch: Any) -> Any:
        if len(batch.inputs["image"]):
            raise RuntimeError("secret of the machine")
        return runtime.evenly(batch)

    runtime.get_output = fail_on_pictures
    client = make_client(fake_bundle)
    picture = "R0lGODdhAQABAIAAAP///////ywAAAAAAQABAAACAkQBADs="  # a GIF of one pixel
    items = [{"inputs": {"notes": "spot"}}, {"inputs": {"image": picture}}, {"inputs": {"notes": "spot"}}]
    response = client.post("/predict/batch", json={"items": items})
    results = response.json()["results"]
    assert results[0]["label"] == results[2]["label"] == "nv"
    assert results[1]["type"] == "urn:tailfuse:problem:inference-failed"
    assert "secret" not in response.text


def test_a_model_that_answers_nan_has_failed(make_client: Any, fake_bundle: Any, runtime: Any) -> None:
    def not_a_number(batch: Any) -> Any:
        output = runtime.evenly(batch)
        output.probabilities[:] = np.nan
        return output

    runtime.get_output = not_a_number
    response = make_client(fake_bundle).post("/predict", json={"inputs": {"notes": "spot"}})
    assert response.status_code == 500
    assert response.json()["type"] == "urn:tailfuse:problem:inference-failed"
