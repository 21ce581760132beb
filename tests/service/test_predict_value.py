"""POST /predict/{modality}: the body is the value of one modality, as it is."""

import base64
import gzip
import json
from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.support.connection import Connection, request

CLINICAL = {"age": 61, "pulse": 70.5, "smoker": True, "site": "back"}
NOTE = "a brown sp\u00f6t"
JSON, TEXT = "application/json", "text/plain"


def without_id(answer: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in answer.items() if key != "request_id"}


@pytest.mark.parametrize(
    "path", ["/predict", "/models/skin-lesions/predict", "/models/skin-lesions/versions/3/predict"]
)
@pytest.mark.parametrize(
    ("modality", "kind", "body", "value"),
    [
        ("notes", TEXT, NOTE.encode(), NOTE),
        ("notes", "text/plain; charset=utf-8", NOTE.encode(), NOTE),
        ("notes", "text/plain; charset=ISO-8859-1", NOTE.encode("latin-1"), NOTE),
        ("notes", JSON, NOTE.encode(), NOTE),  # a text is a text, whatever it is called
        ("notes", None, b"\xef\xbb\xbf" + NOTE.encode(), NOTE),
        ("clinical", JSON, json.dumps(CLINICAL).encode(), CLINICAL),
        ("clinical", None, json.dumps(list(CLINICAL.values())).encode(), CLINICAL),
        ("clinical", "application/x-www-form-urlencoded", json.dumps(CLINICAL).encode(), CLINICAL),
    ],
)  # fmt: skip
def test_a_value_is_answered_as_in_json(
    client: TestClient, path: str, modality: str, kind: str | None, body: bytes, value: Any
) -> None:
    expected = client.post(path, json={"inputs": {modality: value}}).json()
    headers = {} if kind is None else {"content-type": kind}
    answer = client.post(f"{path}/{modality}", content=body, headers=headers)
    assert answer.status_code == 200
    assert without_id(answer.json()) == without_id(expected)


@pytest.mark.parametrize(
    "kind", ["image/jpeg", "image/png", "application/octet-stream", "application/x-www-form-urlencoded", None]
)
def test_an_image_is_sent_as_its_bytes(client: TestClient, picture: bytes, kind: str | None) -> None:
    expected = client.post("/predict", json={"inputs": {"image": base64.b64encode(picture).decode()}}).json()
    headers = {} if kind is None else {"content-type": kind}
    answer = client.post("/predict/image", content=picture, headers=headers)
    assert without_id(answer.json()) == without_id(expected)
    packed = client.post(
        "/predict/image", content=gzip.compress(picture), headers={**headers, "content-encoding": "gzip"}
    )
    assert without_id(packed.json()) == without_id(expected)


def test_the_options_are_those_of_predict(client: TestClient) -> None:
    options = "?top_k=1&explain=true&prior=uniform"
    expected = client.post(f"/predict{options}", json={"inputs": {"notes": "spot"}}).json()
    answer = client.post(f"/predict/notes{options}", content="spot").json()
    assert without_id(answer) == without_id(expected)
    assert len(answer["probabilities"]) == 1
    assert "explanation" in answer


@pytest.mark.parametrize("kind", ["multipart/form-data; boundary=x", "multipart/mixed", JSON])
def test_what_is_not_the_file_itself_is_refused(client: TestClient, picture: bytes, kind: str) -> None:
    answer = client.post("/predict/image", content=picture, headers={"content-type": kind})
    assert answer.status_code == 415
    assert "the file itself" in answer.json()["detail"]
    assert kind in answer.json()["detail"]


@pytest.mark.parametrize(
    ("path", "body", "status", "said"),
    [
        ("/predict/photo", b"x", 422, "'photo'"),
        ("/predict/photo", b"", 422, "'photo'"),
        ("/predict/%F0%9F%98%80", b"x", 422, "\U0001f600"),
        ("/predict/image", b"", 422, "no modality"),
        ("/predict/notes", b"", 422, "no modality"),
        ("/predict/clinical", b"null", 422, "no modality"),
        ("/predict/notes", b"\xff\xfe", 422, "UTF-8"),
        ("/predict/clinical", b"{", 422, "clinical"),
        ("/predict/clinical", b'{"agee": 1}', 422, "agee"),
        ("/predict/image", b"not an image", 422, "image"),
        ("/predict/image/x", b"x", 404, "no route"),
        ("/models/nobody/predict/image", b"x", 404, "nobody"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told(client: TestClient, path: str, body: bytes, status: int, said: str) -> None:
    answer = client.post(path, content=body)
    assert answer.status_code == status
    assert said in answer.json()["detail"]
    assert answer.headers["content-type"] == "application/problem+json"


def test_another_method_is_not_allowed(client: TestClient) -> None:
    answer = client.get("/predict/image")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


def test_it_is_counted_as_predict_and_answered_without_a_task(drive: Any, picture: bytes) -> None:
    async def play(connection: Connection) -> None:
        for target in (b"/predict/image", b"/models/skin-lesions/predict/image?top_k=1"):
            connection.send(request(picture, target=target))
            await connection.idle()
        assert connection.wire.written.count(b"HTTP/1.1 200 ") == 2
        assert connection.app.in_flight == 0
        text = connection.app.metrics.text().decode()
        for route in ("/predict", "/models/{name}/predict"):
            assert f'tailfuse_requests_total{{route="{route}",status="200"}} 1.0' in text

    drive(play)
