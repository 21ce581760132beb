"""How deep a JSON text is nested, and how many values it has, is told from its bytes, whatever they are."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tailfuse_service.errors import TooDeep, TooManyValues
from tailfuse_service.modalities import json_structure, json_text
from tailfuse_service.modalities.json_structure import MEMBER_COST, measure_structure
from tailfuse_service.modalities.json_text import check_structure
from tailfuse_service.modalities.limits import Limits

nested = st.recursive(
    st.none() | st.integers(-9, 9) | st.text('[]{}"\\a', max_size=6),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text('[]{}"\\k', max_size=4), inner, max_size=4)
    ),
    max_leaves=30,
)


def depth(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + max(map(depth, value.values()), default=0)
    return 1 + max(map(depth, value), default=0) if isinstance(value, list) else 0


def measure_depth(data: bytes) -> int:
    return measure_structure(data).depth


def count_values(value: Any) -> int:
    """Count commas and opening brackets, and each colon MEMBER_COST - 1 times."""
    if isinstance(value, dict):
        colons = (MEMBER_COST - 1) * len(value)
        return 1 + max(len(value) - 1, 0) + colons + sum(map(count_values, value.values()))
    return 1 + max(len(value) - 1, 0) + sum(map(count_values, value)) if isinstance(value, list) else 0


@given(value=nested, piece_bytes=st.integers(1, 9))
def test_depth_and_number_are_those_of_the_value(value: Any, piece_bytes: int) -> None:
    """Wherever the text is cut into pieces."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(json_structure, "PIECE_BYTES", piece_bytes)
        for text in (orjson.dumps(value), orjson.dumps(value, option=orjson.OPT_INDENT_2)):
            assert measure_structure(text) == (depth(value), count_values(value))


@given(value=nested, max_depth=st.integers(0, 4), more=st.integers(0, 60))
def test_a_text_is_refused_if_it_is_too_deep_or_has_too_many_values(
    value: Any, max_depth: int, more: int
) -> None:
    """Also where it need not be measured to be let through."""
    text, limits = orjson.dumps(value), Limits(max_json_depth=max_depth, max_json_values=max_depth + more)
    depth, n_values = measure_structure(text)
    if depth > limits.max_json_depth:
        with pytest.raises(TooDeep):
            check_structure(text, "it", limits)
    elif n_values > limits.max_json_values:
        with pytest.raises(TooManyValues):
            check_structure(text, "it", limits)
    else:
        check_structure(text, "it", limits)


def test_a_photo_s_text_is_let_through_unmeasured(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: bytes) -> None:
        raise AssertionError("it was measured")

    monkeypatch.setattr(json_text, "measure_structure", fail)
    photo = b'{"inputs": {"photo": "' + b"/9j/" * 1_000_000 + b'", "columns": {"age": 61, "sex": "f"}}}'
    check_structure(photo, "the body", Limits())


@given(st.binary(max_size=200) | st.text('[]{}"\\,', max_size=50).map(str.encode))
def test_what_is_no_json_has_a_depth_too(data: bytes) -> None:
    assert 0 <= measure_depth(data) <= data.count(b"[") + data.count(b"{")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"", 0), (b"[]", 1), (b"[" * 5000, 5000), (b"]" * 5000, 0), (b'{"a":[{}]}', 3),
        (b'"[[["', 0), (b'"\\"[[["', 0), (b'"\\\\",[[', 2), (b'"never closed [[[', 0), (b'"\\', 0),
    ],
)  # fmt: skip
def test_brackets_in_strings_are_text(text: bytes, expected: int) -> None:
    assert measure_depth(text) == expected


def test_a_million_quotes_that_never_close_take_no_second_look() -> None:
    """A pattern that went back would take hours."""
    assert measure_depth(b'"' + b'\\"' * 1_000_000 + b"[") == 0
    assert measure_depth(b'\\"' * 1_000_000) == 0
