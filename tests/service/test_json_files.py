"""Long images in JSON are decoded where they lie. The short way says what the long one says, or nothing."""

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from starlette.testclient import TestClient
from tailfuse_service.errors import ClientError
from tailfuse_service.http import json_files
from tailfuse_service.http.json_files import parse_around_images, parse_sample
from tailfuse_service.modalities import ImageModality, Modality, TextModality
from tailfuse_service.modalities.base64_text import decode_base64
from tailfuse_service.modalities.json_text import parse_json
from tailfuse_service.modalities.limits import Limits

IMAGE = ImageModality(column="file", height=8, width=8, channels=1)
MODALITIES: dict[str, Modality] = {
    "front": IMAGE,
    "back": IMAGE,
    "notes": TextModality(columns=("notes",), buckets=8, ngrams=1, max_tokens=8),
}
FILE = bytes(range(256)) * 80
TEXT = base64.b64encode(FILE).decode()
PIECES = (
    '{"inputs":{', '{"inputs": ', "{", "}", "}}", ",", ":", " : ", "\n", "[", "]", "null", '"', "\\",
    "\\u0000", "\0", '"front"', '"front":', '"back" : ', '"notes":', '"other":', '"/9j/4AAQSkZJ"', '"AAAA"',
    '"abc-"', '"abcde"', '"data:,AAAABBBB"', '"front":"/9j/4AAQSkZJ"', '"back":"AAAABBBB"',
    '"notes":"AAAABBBB"',
)  # fmt: skip


def parse(parser: Callable[..., Any], body: bytes, *modalities: Any) -> Any:
    """What a parser says of a body: a value, or an error's type and text."""
    try:
        return parser(body, *modalities)
    except ClientError as error:
        return type(error), str(error)


@given(st.lists(st.sampled_from(PIECES), max_size=14).map("".join))
@example('{"inputs":{"front":"/9j/4AAQSkZJ","back" : "AAAABBBB"}}')
@example('{"inputs":{"front":"/9j/4AAQSkZJ","back":"AAAABBBB"}')
def test_the_short_way_never_says_anything_else(text: str) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(json_files, "LONG_BYTES", 6)
        found = parse(parse_sample, text.encode(), MODALITIES)
    expected = parse(parse_json, text.encode())
    if found != expected:
        files = {name: value for name, value in found["inputs"].items() if isinstance(value, bytes)}
        assert {"front", "back"}.issuperset(files)
        assert files == {name: decode_base64(expected["inputs"][name]) for name in files}
        assert found == {**expected, "inputs": {**expected["inputs"], **files}}


@pytest.mark.parametrize("space", ["", " ", " \r\n\t"])
def test_long_images_are_bytes_and_all_else_is_parsed(space: str) -> None:
    body = (
        f'{{"inputs":{{"back"{space}:{space}"{TEXT}","notes":"{TEXT}","front":"{TEXT}","cells":[1,null]}}}}'
    )
    inputs = {"back": FILE, "notes": TEXT, "front": FILE, "cells": [1, None]}
    found = parse_sample(body.encode(), MODALITIES)
    assert found == {"inputs": inputs}
    assert list(found["inputs"]) == list(inputs)


@pytest.mark.parametrize(
    "text",
    [
        f'{{"inputs":{{"front":"{TEXT[:100]}"}}}}',  # short
        f'{{"inputs":{{"front":"data:image/png;base64,{TEXT}"}}}}',
        f'{{"inputs":{{"front":"{TEXT.rstrip("=")}"}}}}',
        f'{{"inputs":{{"front":"{TEXT[:400]}{"-_" * 9000}"}}}}',
        f'{{"inputs":{{"front":"{TEXT}","kind":"\\u0061"}}}}',  # escapes anywhere
        f'{{"inputs":{{"front":"{TEXT}","front":null}}}}',  # the last of two counts
        f'{{"inputs":{{"front":"{TEXT}","front":"{TEXT[4:]}"}}}}',
        f'{{"inputs":{{"front":"{TEXT}"}},"inputs":{{}}}}',
        f'{{"inputs":{{"cells":{{"front":"{TEXT}"}}}}}}',  # elsewhere
        f'{{"inputs":{{"cells":{{"front":"{TEXT}"}},"front":"{TEXT}"}}}}',
        f'{{"front":"{TEXT}","inputs":{{}}}}',
        f'{{"inputs":[{{"front":"{TEXT}"}}]}}',
        f'{{"inputs":{{"kind":"front","front":"{TEXT}"}}}}',
        f'{{"inputs":{{"notes":"{TEXT}"}}}}',
    ],
)  # fmt: skip
def test_what_is_unusual_is_parsed_as_ever(text: str) -> None:
    assert parse_around_images(text.encode(), MODALITIES, Limits()) is None or "\\" in text
    assert parse_sample(text.encode(), MODALITIES) == json.loads(text)


@pytest.mark.parametrize(
    "end",
    ["", '"', '"}', '"}}x', '",}}', '","a":' + "[" * 40 + "]" * 40 + "}}", '","a":nul}}', '","a":"\xe9"}}'],
)  # fmt: skip
def test_errors_are_those_of_the_whole_text(end: str) -> None:
    body = f'{{"inputs":{{"front":"{TEXT}{end}'.encode("latin-1")
    expected = parse(parse_json, body)
    assert isinstance(expected, tuple)
    assert parse(parse_sample, body, MODALITIES) == expected


def test_a_long_image_is_answered_as_its_bytes_are(client: TestClient, picture: bytes) -> None:
    large = picture + bytes(json_files.LONG_BYTES)  # decoders ignore what follows the image

    def ask(path: str, **request: Any) -> Any:
        answer = client.post(path, **request)
        assert answer.status_code == 200, answer.text
        return {key: value for key, value in answer.json().items() if key != "request_id"}

    text = base64.b64encode(large).decode()
    assert ask("/predict", json={"inputs": {"image": text}}) == ask("/predict/image", content=large)
