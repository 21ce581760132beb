"""Requests over a wire, and whether an answer is theirs."""

import json
from typing import Any

from tailfuse_service.bundle import Bundle

from tests.support.asking import as_json, assert_answers
from tests.support.hostile.honest import HONEST
from tests.support.hostile.pictures import art, encode_file
from tests.support.hostile.wire import Answer, post

BODY = json.dumps(as_json(HONEST)).encode()


def check(answer: Answer | None, bundle: Bundle, inputs: Any = HONEST) -> None:
    """It is the answer to `inputs`."""
    assert answer is not None
    assert answer.status == 200, answer
    assert_answers(answer.json(), bundle, inputs)


def own(seed: int) -> dict[str, Any]:
    """Inputs that nobody else has."""
    return {"image": encode_file(art(seed)), "clinical": {"age": 20.0 + seed, "pulse": 60 + seed}}


def as_post(inputs: Any, **headers: str) -> bytes:
    return post(json.dumps(as_json(inputs)).encode(), **headers)
