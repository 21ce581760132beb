"""/v2: what is asked by tensors is answered as POST /predict answers it."""

import gzip
import zlib
from typing import Any

import numpy as np
import orjson
import pytest
from starlette.testclient import TestClient
from tailfuse_service.bundle import Bundle

from tests.support.clients import ClientOf
from tests.support.oip.tensors import CLINICAL, INFER, INPUTS, MODEL, NOTES, packed

LENGTH = "Inference-Header-Content-Length"


def infer(client: TestClient, inputs: Any, **more: Any) -> Any:
    answer = client.post(INFER, json={"inputs": inputs, **more})
    assert answer.status_code == 200, answer.text
    return answer.json()


def values(answer: Any, name: str) -> Any:
    output = next(each for each in answer["outputs"] if each["name"] == name)
    return np.array(output["data"]).reshape(output["shape"]).tolist()


def clinical(**columns: Any) -> list[dict[str, Any]]:
    return [
        {"name": f"clinical.{name}", "datatype": datatype, "shape": [len(data)], "data": data}
        for name, (datatype, data) in columns.items()
    ]


def test_rows_are_answered_as_by_predict(client: TestClient, expected: Any) -> None:
    answer = infer(client, INPUTS, id="mine")
    assert (answer["model_name"], answer["model_version"], answer["id"]) == (MODEL, "3", "mine")
    metadata = client.get(f"/v2/models/{MODEL}").json()["parameters"]
    for row, one in enumerate(expected):
        assert values(answer, "label")[row] == one["label"]
        found = dict(zip(metadata["classes"], values(answer, "probabilities")[row], strict=True))
        assert found == one["probabilities"]
        for at, name in enumerate(metadata["modalities"]):
            assert values(answer, "weights")[row][at] == one["modalities"][name]["weight"]
            assert values(answer, "confidences")[row][at] == (one["modalities"][name]["confidence"] or 0)


@pytest.mark.parametrize("columns", [
    {"age": ("FP32", [61.0]), "smoker": ("BOOL", [True]), "site": ("BYTES", ["back"])},
    {"age": ("INT64", [61]), "smoker": ("UINT8", [1]), "site": ("BYTES", ["back"])},
    {"age": ("FP64", [61.0]), "smoker": ("FP32", [1.0]), "site": ("BYTES", ["back"]),
     "pulse": ("FP32", [None])},
    {"age": ("BYTES", ["61"]), "smoker": ("BYTES", ["True"]), "site": ("BYTES", ["back"])},
])  # fmt: skip
def test_columns_may_be_tensors_of_any_datatype_that_fits(client: TestClient, columns: Any) -> None:
    one = {"clinical": {"age": 61, "smoker": True, "site": "back"}}
    expected = client.post("/predict", json={"inputs": one}).json()
    assert values(infer(client, clinical(**columns)), "label") == [expected["label"]]
    assert max(values(infer(client, clinical(**columns)), "probabilities")[0]) == expected["probability"]


def test_presence_takes_a_modality_away_from_a_row(client: TestClient) -> None:
    inputs = [
        {**INPUTS[0], "data": [*CLINICAL[:4], *CLINICAL[:4]]},
        {"name": "notes", "datatype": "BYTES", "shape": [2], "data": [NOTES[0], NOTES[0]]},
        {"name": "presence", "datatype": "BOOL", "shape": [2, 3], "data": [True] * 5 + [False]},
    ]
    weights = values(infer(client, inputs), "weights")
    assert weights[0][2] > 0
    assert weights[1] == [0.0, 1.0, 0.0]


def test_bytes_go_both_ways(client: TestClient, picture: bytes) -> None:
    parts = [packed([picture, b""]), packed([each.encode() for each in CLINICAL])]
    head = orjson.dumps({
        "inputs": [
            {"name": name, "datatype": "BYTES", "shape": shape, "parameters": {"binary_data_size": len(part)}}
            for name, shape, part in zip(("image", "clinical"), ([2], [2, 4]), parts, strict=True)
        ],
        "outputs": [{"name": "label", "parameters": {"binary_data": True}}, {"name": "weights"}],
    })  # fmt: skip
    answer = client.post(INFER, content=b"".join((head, *parts)), headers={LENGTH: str(len(head))})
    assert answer.headers["content-type"] == "application/octet-stream"
    length = int(answer.headers[LENGTH])
    label, weights = orjson.loads(answer.content[:length])["outputs"]
    assert label["parameters"]["binary_data_size"] == len(answer.content) - length
    assert weights["data"][0] > 0
    assert weights["data"][3] == 0


@pytest.mark.parametrize(("encoding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_bodies_may_be_compressed_both_ways(client: TestClient, encoding: str, pack: Any) -> None:
    plain = orjson.dumps({"inputs": [{**each, "shape": [1, *each["shape"][1:]], "data": each["data"][:1]}
                                     for each in INPUTS[1:]] })  # fmt: skip
    answer = client.post(INFER, content=pack(plain), headers={"content-encoding": encoding})
    assert answer.status_code == 200
    many = [{"name": "notes", "datatype": "BYTES", "shape": [100], "data": ["a word"] * 100}]
    answer = client.post(INFER, json={"inputs": many}, headers={"accept-encoding": f"br, {encoding};q=0.5"})
    assert answer.headers["content-encoding"] == encoding
    assert len(answer.json()["outputs"]) == 4
    answer = client.post(INFER, json={"inputs": many}, headers={"accept-encoding": f"{encoding};q=0"})
    assert "content-encoding" not in answer.headers


def test_a_bomb_is_refused_by_the_limit_of_a_body(make_client: ClientOf, bundle: Bundle) -> None:
    client = make_client(bundle, max_body_bytes=200_000)
    bomb = gzip.compress(bytes(50_000_000))
    answer = client.post(INFER, content=bomb, headers={"content-encoding": "gzip"})
    assert (answer.status_code, answer.json()["expected"]) == (413, 200_000)


def test_a_wrong_row_fails_all_and_is_named(client: TestClient) -> None:
    data = [*CLINICAL[:4], "60", "many", "", ""]
    answer = client.post(INFER, json={"inputs": [{**INPUTS[0], "data": data}]})
    problem = answer.json()
    assert answer.status_code == 422
    assert (problem["row"], problem["modality"], problem["column"]) == (1, "clinical", "pulse")
    assert problem["error"].startswith("row 1: modality 'clinical', column 'pulse'")
    data = [*CLINICAL[:4], *CLINICAL[:2], "perhaps", ""]
    problem = client.post(INFER, json={"inputs": [{**INPUTS[0], "data": data}]}).json()
    assert (problem["row"], problem["column"]) == (1, "smoker")
    problem = client.post(
        INFER, json={"inputs": [{**INPUTS[0], "data": [*CLINICAL[:4], "", "", "", ""]}]}
    ).json()
    assert (problem["row"], problem["type"]) == (1, "urn:tailfuse:problem:missing-modality")


def test_what_is_not_there_is_404_and_another_method_405(client: TestClient) -> None:
    for path in ("models/other", f"models/{MODEL}/versions/9/ready", "nothing", f"models/{MODEL}/other"):
        answer = client.get(f"/v2/{path}")
        assert (answer.status_code, "error" in answer.json()) == (404, True)
    assert client.get(INFER).headers["allow"] == "POST"
    assert client.get(f"/v2/models/{MODEL}/versions/3").json()["versions"] == ["3"]


def test_the_server_is_found_with_and_without_a_slash(client: TestClient) -> None:
    """The protocol's text has one, its OpenAPI document the other."""
    found = client.get("/v2").json()
    assert found["name"] == "tailfuse"
    assert client.get("/v2/").json() == found


def test_limits_and_keys_are_those_of_the_service(
    make_client: ClientOf, bundle: Bundle, tmp_path: Any
) -> None:
    client = make_client(bundle, max_items=1)
    assert client.post(INFER, json={"inputs": INPUTS}).json()["type"].endswith("batch-too-large")
    keys = tmp_path / "keys"
    keys.write_text("a: 0123456789abcdef")
    client = make_client(bundle, api_keys=keys)
    assert client.get("/v2/health/ready").json() == {"ready": True}
    assert client.post(INFER, json={"inputs": INPUTS}).status_code == 401
    key = {"authorization": "Bearer 0123456789abcdef"}
    assert client.post(INFER, json={"inputs": INPUTS}, headers=key).status_code == 200


def test_without_a_bundle_the_service_is_alive_and_not_ready(make_client: ClientOf) -> None:
    client = make_client(None)
    assert client.get("/v2/health/live").json() == {"live": True}
    assert client.get("/v2/health/ready").status_code == 503


def test_requests_are_counted_by_their_route(client: TestClient) -> None:
    infer(client, INPUTS)
    client.get("/v2/models/whatever/9")
    text = client.get("/metrics").text
    assert 'tailfuse_requests_total{route="/v2/models/{name}/infer",status="200"} 1.0' in text
    assert 'tailfuse_requests_total{route="other",status="404"} 1.0' in text
    assert "whatever" not in text
