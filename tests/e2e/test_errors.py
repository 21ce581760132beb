"""Mistakes over the wire: each gets its own problem detail, and the connection survives where it can."""

import gzip
import json
import socket
from collections.abc import Iterator
from http.client import HTTPResponse
from typing import Any

import httpx2
import pytest

from tests.support.asking import as_json, assert_problem
from tests.support.process import TIMEOUT_S, Service, start_service

pytestmark = pytest.mark.e2e

LIMIT, CHUNK = 65536, 4096
NAN, INFINITY = float("nan"), float("inf")
TEXT = {"content-type": "text/csv"}

INPUTS = {
    "a bad picture": ({"image": "bm8gcGljdHVyZQ=="}, "undecodable-image", {"modality": "image"}),
    "a picture that is no base64": ({"image": "no picture!"}, "invalid-input", {"modality": "image"}),
    "NaN": ({"shape": {"mor_00": NAN}}, "not-finite", {"modality": "shape", "column": "mor_00"}),
    "infinity": ({"shape": {"mor_00": INFINITY}}, "not-finite", {"modality": "shape", "column": "mor_00"}),
    "a wrong type": ({"fourier": {"fou_03": "high"}}, "invalid-input", {"column": "fou_03"}),
    "a wrong type for all": ({"fourier": "high"}, "invalid-input", {"modality": "fourier"}),
    "too few numbers": ({"fourier": [0.1, 0.2]}, "invalid-input", {"modality": "fourier"}),
    "an unknown column": ({"shape": {"mor_99": 1.0}}, "unknown-column", {"modality": "shape"}),
    "an unknown modality": ({"smell": 1}, "unknown-modality", {"expected": ["image", "fourier", "shape"]}),
    "an empty request": ({}, "missing-modality", {"expected": ["image", "fourier", "shape"]}),
}  # fmt: skip

REQUESTS: dict[str, tuple[dict[str, Any], int, str]] = {
    "an empty body": ({"content": b""}, 400, "bad-request"),
    "half a body": ({"content": b'{"inputs": {"shape"'}, 400, "bad-request"),
    "a form without its boundary": (
        {"content": b"--x", "headers": {"content-type": "multipart/form-data"}}, 400, "bad-request",
    ),
    "a form cut short": (
        {
            "content": b'--x\r\nContent-Disposition: form-data; name="shape"\r\n\r\n[1',
            "headers": {"content-type": "multipart/form-data; boundary=x"},
        },
        400, "bad-request",
    ),
    "a bad picture in a form": (
        {"files": {"image": ("a.png", b"none", "image/png")}}, 422, "undecodable-image",
    ),
    "an unknown part of a form": ({"files": {"smell": (None, b"1")}}, 422, "unknown-modality"),
    "numbers of a form that are no JSON": ({"files": {"shape": (None, b"mor_00=1")}}, 422, "invalid-input"),
    "a wrong content type": ({"content": b"a,b\n1,2\n", "headers": TEXT}, 415, "unsupported-media-type"),
    "a body compressed in a way that is not known": (
        {"content": gzip.compress(b"{}"), "headers": {"content-encoding": "br"}},
        415, "unsupported-media-type",
    ),
    "a compressed body that is wrong": (
        {"content": gzip.compress(b"{}"), "headers": {"content-encoding": "gzip"}}, 422, "invalid-input",
    ),
    "a list": ({"json": [1, 2]}, 422, "invalid-input"),
    "a key that is not known": ({"json": {"input": {}}}, 422, "invalid-input"),
    "a top_k that is no number": ({"json": {"inputs": {}}, "params": {"top_k": "all"}}, 422, "invalid-input"),
}  # fmt: skip


@pytest.fixture(scope="module")
def small(bundle_folder: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service that takes short bodies only."""
    log = tmp_path_factory.mktemp("log") / "small.log"
    service = start_service(bundle_folder, "--max-body-bytes", str(LIMIT), "--max-items", "4", log=log)
    yield service
    assert service.stop() == 0


def assert_is_problem(response: httpx2.Response, status: int, slug: str) -> dict[str, Any]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = response.json()
    assert_problem(problem, slug, status)
    assert response.headers["x-request-id"] == problem["request_id"]
    return problem


@pytest.mark.parametrize(("inputs", "slug", "members"), INPUTS.values(), ids=INPUTS)
def test_a_wrong_input_names_its_place(
    client: httpx2.Client, inputs: dict[str, Any], slug: str, members: dict[str, Any]
) -> None:
    response = client.post("/predict", content=json.dumps({"inputs": inputs}))
    problem = assert_is_problem(response, 422, slug)
    assert {key: problem[key] for key in members} == members
    assert problem["instance"] == "/predict"


@pytest.mark.parametrize(("request_", "status", "slug"), REQUESTS.values(), ids=REQUESTS)
def test_a_wrong_request_is_told_what_is_wrong(
    client: httpx2.Client, request_: dict[str, Any], status: int, slug: str
) -> None:
    assert_is_problem(client.post("/predict", **request_), status, slug)


def test_an_unknown_route_and_a_wrong_method_are_problems_too(client: httpx2.Client) -> None:
    assert_is_problem(client.post("/prediction", json={}), 404, "not-found")
    response = client.get("/predict")
    assert_is_problem(response, 405, "method-not-allowed")
    assert response.headers["allow"] == "POST"


def test_a_batch_of_too_many_items_is_refused_whole(small: Service, samples: list[dict[str, Any]]) -> None:
    body = {"items": [{"inputs": {"shape": samples[0]["shape"]}}] * 5}
    problem = assert_is_problem(httpx2.post(f"{small.url}/predict/batch", json=body), 422, "batch-too-large")
    assert (problem["expected"], problem["received"]) == (4, 5)


@pytest.mark.parametrize("chunked", [False, True], ids=["with its length", "without its length"])
def test_a_body_that_is_too_large_is_refused(small: Service, chunked: bool) -> None:
    body = b" " * (LIMIT + 1)
    content = (body[at : at + CHUNK] for at in range(0, len(body), CHUNK)) if chunked else body
    problem = assert_is_problem(
        httpx2.post(f"{small.url}/predict", content=content), 413, "payload-too-large"
    )
    assert problem["expected"] == LIMIT


@pytest.mark.parametrize("chunked", [False, True], ids=["with its length", "without its length"])
def test_the_rest_of_a_body_that_is_too_large_is_not_waited_for(small: Service, chunked: bool) -> None:
    if chunked:
        size = b"transfer-encoding: chunked"
        sent = b"%x\r\n%b\r\n" % (LIMIT + 1, b" " * (LIMIT + 1))
    else:
        size, sent = b"content-length: 1000000000000", b""
    with socket.create_connection(small.address, timeout=TIMEOUT_S) as connection:
        connection.sendall(b"POST /predict HTTP/1.1\r\nhost: x\r\n%b\r\n\r\n%b" % (size, sent))
        response = HTTPResponse(connection)
        response.begin()
        assert_problem(json.loads(response.read()), "payload-too-large", 413)


def test_a_body_of_just_the_limit_is_read(small: Service, samples: list[dict[str, Any]]) -> None:
    body = json.dumps(as_json(samples[0])).encode()
    response = httpx2.post(f"{small.url}/predict", content=body.ljust(LIMIT))
    assert response.status_code == 200, response.text


def test_the_default_limit_holds_a_large_picture(client: httpx2.Client) -> None:
    response = client.post("/predict", files={"image": ("a.png", bytes(8_000_000), "image/png")})
    assert_is_problem(response, 422, "undecodable-image")
