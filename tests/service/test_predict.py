"""POST /predict, in JSON and as a form."""

import base64
import json
import threading
from typing import Any

import pytest
from PIL import Image
from starlette.testclient import TestClient
from tailfuse_service.bundle import Bundle
from tailfuse_service.modalities.image.pixels import Mode, convert_mode

from tests.support.clients import encoded

CLINICAL = {"age": 61, "pulse": 70.5, "smoker": True, "site": "back"}


def test_an_answer_has_the_documented_shape(client: TestClient, picture: bytes) -> None:
    inputs = {"image": base64.b64encode(picture).decode(), "clinical": CLINICAL}
    response = client.post("/predict", json={"inputs": inputs})
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    answer = response.json()
    assert list(answer) == ["request_id", "model", "label", "probability", "probabilities", "modalities"]
    assert answer["model"] == {"name": "skin-lesions", "version": "3"}
    assert set(answer["probabilities"]) == {"nv", "mel", "bkl"}
    assert sum(answer["probabilities"].values()) == pytest.approx(1, abs=1e-5)
    assert list(answer["modalities"]) == ["image", "clinical", "notes"]
    assert answer["modalities"]["notes"] == {"present": False, "weight": 0.0, "confidence": None}
    assert answer["modalities"]["image"]["present"] is True
    weights = [modality["weight"] for modality in answer["modalities"].values()]
    assert sum(weights) == pytest.approx(1, abs=1e-5)


def test_probabilities_come_most_probable_first_and_the_label_is_the_first(client: TestClient) -> None:
    answer = client.post("/predict", json={"inputs": {"clinical": CLINICAL}}).json()
    probabilities = list(answer["probabilities"].values())
    assert probabilities == sorted(probabilities, reverse=True)
    assert next(iter(answer["probabilities"].items())) == (answer["label"], answer["probability"])


def test_the_answer_is_the_graphs(client: TestClient, bundle: Bundle) -> None:
    output = bundle.run([bundle.sample({"clinical": CLINICAL})])
    answer = client.post("/predict", json={"inputs": {"clinical": CLINICAL}}).json()
    for name, probability in zip(bundle.manifest.class_names, output.probabilities[0], strict=True):
        assert answer["probabilities"][name] == pytest.approx(float(probability), abs=1e-6)
    clinical = answer["modalities"]["clinical"]
    assert clinical["weight"] == 1.0
    assert clinical["confidence"] == pytest.approx(float(output.confidences[0, 1]), abs=1e-6)


@pytest.mark.parametrize(("top_k", "kept"), [("1", 1), ("2", 2), ("99", 3)])
def test_top_k_keeps_the_most_probable_classes(client: TestClient, top_k: str, kept: int) -> None:
    whole = client.post("/predict", json={"inputs": {"clinical": CLINICAL}}).json()
    answer = client.post(f"/predict?top_k={top_k}", json={"inputs": {"clinical": CLINICAL}}).json()
    assert list(answer["probabilities"].items()) == list(whole["probabilities"].items())[:kept]


@pytest.mark.parametrize(
    "absent",
    [
        {},
        {"image": None},
        {"image": ""},
        {"notes": ""},
        {"notes": "… !"},
        {"notes": {"title": None}},
        {"image": None, "notes": None},
    ],
    ids=repr,
)
def test_null_empty_and_left_out_are_the_same(client: TestClient, absent: dict[str, Any]) -> None:
    alone = client.post("/predict", json={"inputs": {"clinical": CLINICAL}}).json()
    answer = client.post("/predict", json={"inputs": {"clinical": CLINICAL, **absent}}).json()
    assert {**answer, "request_id": ""} == {**alone, "request_id": ""}


def test_a_form_is_answered_like_json(client: TestClient, picture: bytes) -> None:
    notes = "a brown, growing spot"
    inputs = {"image": base64.b64encode(picture).decode(), "clinical": CLINICAL, "notes": notes}
    by_json = client.post("/predict", json={"inputs": inputs}).json()
    # What the parts call themselves does not matter, only the kind of their modality.
    files: Any = {
        "image": ("x.txt", picture, "text/plain"),
        "clinical": (None, json.dumps(CLINICAL), "application/octet-stream"),
        "notes": ("notes.json", notes, "application/json"),
    }
    by_form = client.post("/predict?top_k=3", files=files).json()
    assert {**by_form, "request_id": ""} == {**by_json, "request_id": ""}


def test_an_empty_part_is_absent(client: TestClient) -> None:
    files: Any = {"image": ("", b""), "clinical": (None, json.dumps(CLINICAL)), "notes": (None, "")}
    modalities = client.post("/predict", files=files).json()["modalities"]
    assert [modality["present"] for modality in modalities.values()] == [False, True, False]


def test_a_row_may_be_an_array_in_the_order_of_its_columns(client: TestClient) -> None:
    by_name = client.post("/predict", json={"inputs": {"clinical": CLINICAL}}).json()
    in_order = client.post("/predict", json={"inputs": {"clinical": [61, 70.5, True, "back"]}}).json()
    assert in_order["probabilities"] == by_name["probabilities"]


def test_a_large_picture_is_read_in_a_thread_and_answered_the_same(
    client: TestClient, picture: bytes
) -> None:
    padded = picture + bytes(40_000)  # decoders stop at the end of the picture
    small = client.post("/predict", files={"image": ("x", picture)}).json()
    large = client.post("/predict", files={"image": ("x", padded)}).json()
    assert large["probabilities"] == small["probabilities"]


def test_json_without_a_content_type_is_taken_for_json(client: TestClient) -> None:
    request = client.build_request("POST", "/predict", content=b'{"inputs": {"notes": "spot"}}')
    assert "content-type" not in request.headers
    assert client.send(request).status_code == 200


@pytest.mark.parametrize("given", ["abc-123", "a" * 128, "trace:1/2=3"])
def test_a_sane_request_id_comes_back(client: TestClient, given: str) -> None:
    response = client.post("/predict", json={"inputs": {"notes": "spot"}}, headers={"X-Request-Id": given})
    assert response.json()["request_id"] == response.headers["x-request-id"] == given


@pytest.mark.parametrize("given", ["", "a" * 129, 'with "quotes"', "spa ce", "a\tb"])
def test_any_other_request_id_is_replaced(client: TestClient, given: str) -> None:
    response = client.post("/predict", json={"inputs": {"notes": "spot"}}, headers={"X-Request-Id": given})
    assert response.json()["request_id"] == response.headers["x-request-id"] != given


def test_two_requests_get_different_ids(client: TestClient) -> None:
    answers = [client.post("/predict", json={"inputs": {"notes": "spot"}}).json() for _ in range(2)]
    assert answers[0]["request_id"] != answers[1]["request_id"]


@pytest.mark.parametrize(("side", "apart"), [(20, False), (1100, True)])
def test_a_picture_of_few_bytes_and_many_pixels_holds_nobody_up(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, side: int, apart: bool
) -> None:
    decoded_in: list[str] = []

    def noting(picture: Image.Image, mode: Mode, *depth: Any) -> Image.Image:
        decoded_in.append(threading.current_thread().name)
        return convert_mode(picture, mode, *depth)

    monkeypatch.setattr("tailfuse_service.modalities.image.features.convert_mode", noting)
    data = encoded(Image.new("L", (side, side)))
    assert len(data) < 4096
    assert client.post("/predict", files={"image": data}).status_code == 200
    (name,) = decoded_in
    assert name.startswith("reader") == apart
