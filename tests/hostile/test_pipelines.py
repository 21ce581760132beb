"""Requests that do not wait for the answer to the one before."""

import json

import pytest
from tailfuse_service.bundle import Bundle

from tests.support.asking import as_json, assert_answers
from tests.support.hostile.asking import as_post, check, own
from tests.support.hostile.pictures import art, encode_file
from tests.support.hostile.wire import Wire, chunked, head, post

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("nobody_is_harmed")]

ALIVE = head("GET", "/healthz")


def test_pipelined_requests_are_answered_in_their_order(wire: Wire, bundle: Bundle) -> None:
    """Each with inputs of its own; a large picture is read elsewhere, and must not be overtaken."""
    large = {"image": encode_file(art(1).resize((600, 800)), "BMP")}
    asked = [own(0), large, own(2), large, *(own(seed) for seed in range(3, 40))]
    wire.send(b"".join(map(as_post, asked)))
    for inputs in asked:
        check(wire.answer(), bundle, inputs)


def test_a_head_is_not_counted_together_with_the_body_before_it(wire: Wire, bundle: Bundle) -> None:
    """They come out of the socket as one piece, which is longer than a head may be."""
    large = {"image": encode_file(art(1).resize((150, 200)), "BMP")}  # 120 KB in base64
    first, second = as_post(large), as_post(own(2))
    wire.send(first + second[:20])
    check(wire.answer(), bundle, large)
    wire.send(second[20:])
    check(wire.answer(), bundle, own(2))


def test_pipelined_requests_of_all_sorts_are_answered_in_their_order(wire: Wire, bundle: Bundle) -> None:
    batch = json.dumps({"items": [as_json(own(5)), {"inputs": {}}, as_json(own(6))]}).encode()
    asked: list[tuple[bytes, int]] = [
        (as_post(own(1)), 200),
        (head("GET", "/model"), 200),
        (post(b"{"), 400),
        (head("HEAD", "/predict"), 405),
        (as_post(own(2)), 200),
        (post(batch, "/predict/batch"), 200),
        (head("GET", "/nope"), 404),
        (head(transfer_encoding="chunked") + chunked(json.dumps(as_json(own(3))).encode()), 200),
        (post(b"x", content_type="text/csv"), 415),
        (head("GET", "/healthz", content_length=5) + b"hello", 200),
        (head("DELETE", "/predict"), 405),
        (as_post(own(4)), 200),
    ]
    wire.send(b"".join(data for data, _ in asked))
    answers = [wire.answer(method="HEAD" if data.startswith(b"HEAD") else "POST") for data, _ in asked]
    assert [answer and answer.status for answer in answers] == [status for _, status in asked]
    for at, seed in ((0, 1), (4, 2), (7, 3), (11, 4)):
        check(answers[at], bundle, own(seed))
    batched = answers[5]
    assert batched is not None
    for at, seed in ((0, 5), (2, 6)):
        assert_answers(batched.json()["results"][at], bundle, own(seed))


def test_every_answer_has_its_own_request_s_id(wire: Wire) -> None:
    ids = [f"id-{i}" for i in range(30)]
    wire.send(b"".join(as_post(own(i), x_request_id=name) for i, name in enumerate(ids)))
    for name in ids:
        answer = wire.answer()
        assert answer is not None
        assert answer.headers["x-request-id"] == name
        assert answer.json()["request_id"] == name
