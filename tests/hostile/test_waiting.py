"""Callers who make the service wait, or would have it keep what it is not sure to need; with keys."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tailfuse_service.bundle import Bundle

from tests.support.hostile.asking import as_post, check, own
from tests.support.hostile.wire import Answer, Wire, head
from tests.support.process import Service, start_service, until

pytestmark = pytest.mark.e2e

KEY = "a-key-of-the-caller"


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("keys") / "keys"
    path.write_text(f"caller: {KEY}\n")
    return path


@pytest.fixture(scope="module")
def strict(tiny_bundle: Any, keys: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """It has keys, and little patience."""
    flags = ("--api-keys", str(keys), "--receive-timeout-s", "0.3")
    started = start_service(tiny_bundle, *flags, log=tmp_path_factory.mktemp("strict") / "log")
    yield started
    assert started.stop() == 0


def get_slug(answer: Answer | None) -> tuple[int, str]:
    assert answer is not None
    return answer.status, answer.json()["type"].rpartition(":")[2]


@pytest.mark.parametrize(
    "begun",
    [
        b"POST /pre",
        head(content_length=100, x_api_key=KEY),
        head(content_length=100, x_api_key=KEY) + b"{",
        as_post(own(1), x_api_key=KEY)[:-1],
    ],
    ids=["half a line", "a head", "a brace", "all but a byte"],
)
def test_a_request_that_does_not_arrive_is_given_up(strict: Service, begun: bytes) -> None:
    with Wire(strict) as wire:
        wire.send(begun)
        assert get_slug(wire.answer()) == (408, "receive-timeout")
        assert wire.closes()


def test_who_has_been_answered_may_think_for_longer(strict: Service, bundle: Bundle) -> None:
    with Wire(strict) as wire, Wire(strict) as other:
        wire.send(as_post(own(1), x_api_key=KEY))
        check(wire.answer(), bundle, own(1))
        other.send(b"POST /pre")
        assert get_slug(other.answer()) == (408, "receive-timeout")  # so long it has been quiet
        wire.send(as_post(own(2), x_api_key=KEY))
        check(wire.answer(), bundle, own(2))


@pytest.mark.parametrize("path", ["/predict", "/predict/batch"])
def test_without_a_key_a_long_body_is_not_waited_for(strict: Service, path: str) -> None:
    with Wire(strict) as wire:
        wire.send(head(path=path, content_length=10_000_000))
        assert get_slug(wire.answer()) == (401, "unauthorized")


def test_a_head_that_was_let_in_before_is_asked_for_its_key_again(
    strict: Service, bundle: Bundle, keys: Path
) -> None:
    request = as_post(own(3), x_api_key=KEY)
    with Wire(strict) as wire:
        for _ in range(3):  # by now the head is remembered
            wire.send(request)
            check(wire.answer(), bundle, own(3))
        beside = keys.with_suffix(".new")
        beside.write_text("other: another-key-altogether\n")
        os.replace(beside, keys)
        until(lambda: any(line["message"] == "keys read" for line in asked(strict, request)), "keys are read")
        wire.send(request)
        assert get_slug(wire.answer()) == (401, "unauthorized")


def asked(service: Service, request: bytes) -> list[dict[str, Any]]:
    """The log, after one more request: keys are looked at when somebody asks."""
    with Wire(service) as wire:
        wire.send(request)
        wire.answer()
    return service.log_lines()
