"""Malformed, abandoned and good requests at once; then: does it still answer?"""

import json
import random
import socket
import struct
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import pytest
from prometheus_client.parser import text_string_to_metric_families
from tailfuse_service.bundle import Bundle

from tests.support.asking import as_form, as_json, assert_answers
from tests.support.clients import http_client
from tests.support.process import Service, until

pytestmark = pytest.mark.e2e

ROUNDS = 15  # of each kind
HEAD = b"POST /predict HTTP/1.1\r\nhost: x\r\n"


def send_and_leave(service: Service, data: bytes, *, rudely: bool = False) -> None:
    """Send something, and close the connection without reading; rudely is by a reset."""
    with socket.create_connection(service.address, timeout=60) as connection:
        if rudely:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.sendall(data)


def whole(body: bytes) -> bytes:
    return HEAD + b"content-length: %d\r\n\r\n" % len(body) + body


def leave_mid_body(service: Service, body: bytes) -> None:
    send_and_leave(service, whole(body)[:-100])


def reset_mid_body(service: Service, body: bytes) -> None:
    send_and_leave(service, whole(body)[:-100], rudely=True)


def leave_mid_chunk(service: Service, body: bytes) -> None:
    send_and_leave(service, HEAD + b"transfer-encoding: chunked\r\n\r\n%x\r\n" % len(body) + body[:50])


def leave_before_the_answer(service: Service, body: bytes) -> None:
    send_and_leave(service, whole(body))


def reset_before_the_answer(service: Service, body: bytes) -> None:
    send_and_leave(service, whole(body), rudely=True)


def leave_a_batch_before_the_answer(service: Service, body: bytes) -> None:
    items = b'{"items": [%b]}' % b", ".join([body] * 50)
    send_and_leave(service, whole(items).replace(b"/predict", b"/predict/batch", 1), rudely=True)


def speak_no_http(service: Service, body: bytes) -> None:
    send_and_leave(service, b"\x16\x03\x01\x02\x00" + body)


def connect_and_leave(service: Service, body: bytes) -> None:
    send_and_leave(service, b"")


ABANDONED: list[Callable[[Service, bytes], None]] = [
    leave_mid_body, reset_mid_body, leave_mid_chunk, leave_before_the_answer, reset_before_the_answer,
    leave_a_batch_before_the_answer, speak_no_http, connect_and_leave,
]  # fmt: skip
MALFORMED = [
    b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"inputs": {"image": "AAAA"}}', b'{"inputs": {"shape": [NaN]}}',
    b"[" * 100_000,
]  # fmt: skip


def gauges(client: httpx2.Client) -> dict[str, float]:
    families = text_string_to_metric_families(client.get("/metrics").text)
    return {each.name: each.samples[0].value for each in families if each.type == "gauge" and each.samples}


def test_it_still_answers_after_chaos(
    start: Callable[..., Service], digits: Bundle, samples: list[dict[str, Any]]
) -> None:
    service = start()
    good: list[tuple[dict[str, Any], httpx2.Response]] = []
    refused: list[int] = []

    def answer_json(sample: dict[str, Any]) -> None:
        good.append((sample, client.post("/predict", json=as_json(sample))))

    def answer_form(sample: dict[str, Any]) -> None:
        good.append((sample, client.post("/predict", files=as_form(sample))))

    def refuse(body: bytes) -> None:
        refused.append(client.post("/predict", content=body).status_code)

    def abandon(how: Callable[[Service, bytes], None]) -> None:
        how(service, json.dumps(as_json(samples[0])).encode())

    acts: list[tuple[Callable[[Any], None], Any]] = [
        *((answer, sample) for answer in (answer_json, answer_form) for sample in samples),
        *((refuse, body) for body in MALFORMED),
        *((abandon, how) for how in ABANDONED),
    ] * ROUNDS
    random.Random(0).shuffle(acts)
    with http_client(service) as client:
        with ThreadPoolExecutor(16) as pool:
            for done in [pool.submit(act, what) for act, what in acts]:
                done.result()
        for sample, response in good:
            assert response.status_code == 200, response.text
            assert_answers(response.json(), digits, sample)
        assert set(refused) == {400, 422}
        assert client.get("/readyz").status_code == 200
        until(lambda: gauges(client)["tailfuse_requests_in_flight"] == 1, "nothing is in flight but this")
        assert gauges(client)["tailfuse_queue_depth"] == 0
        assert_answers(client.post("/predict", json=as_json(samples[0])).json(), digits, samples[0])
    assert service.stop() == 0
    assert [line for line in service.log_lines() if line["level"] == "error"] == []
    assert b"Traceback" not in service.log.read_bytes()
