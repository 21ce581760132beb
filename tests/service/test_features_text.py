"""A text becomes hashed words and their neighbours."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tailfuse_service.errors import InvalidInput
from tailfuse_service.modalities import TextModality
from tailfuse_service.modalities.text.features import TextFeatures

ONE = TextModality(columns=("notes",), buckets=64, ngrams=2, max_tokens=8).features("notes")
TWO = TextModality(columns=("title", "review"), buckets=64, ngrams=2, max_tokens=8).features("notes")


def tokens(features: TextFeatures, raw: Any) -> list[int]:
    array = features.apply(raw)
    assert array is not None
    return [int(token) for token in array]


def test_words_come_first_and_then_their_pairs() -> None:
    a, b, c = (tokens(ONE, word)[0] for word in ("a", "b", "c"))
    found = tokens(ONE, "A b, c!")
    assert found[:3] == [a, b, c]
    assert found[3:] == [tokens(ONE, "a b")[2], tokens(ONE, "b c")[2]]


def test_a_long_text_is_cut_at_max_tokens() -> None:
    words = [f"word{i}" for i in range(100)]
    assert tokens(ONE, " ".join(words)) == [tokens(ONE, word)[0] for word in words[:8]]
    assert len(tokens(ONE, " ".join(words[:6]))) == 8  # six words and two of their five pairs


def test_columns_are_joined_in_the_bundles_order() -> None:
    assert tokens(TWO, {"review": "good", "title": "film"}) == tokens(TWO, "film\ngood")
    assert tokens(TWO, {"title": None, "review": "good"}) == tokens(TWO, "good")


@pytest.mark.parametrize(
    "raw", ["", "  ", "… !?", {}, {"title": None}, {"title": "", "review": " "}], ids=repr
)
def test_a_text_without_a_word_is_absent(raw: Any) -> None:
    assert TWO.apply(raw) is None


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["title", "review", "x"]), inner, max_size=3)
    ),
)


def applied(features: TextFeatures, raw: Any) -> Any:
    """What it gives, or the one error that it may raise."""
    try:
        return features.apply(raw)
    except InvalidInput as error:
        return error


@given(values)
def test_any_json_value_gives_tokens_or_one_clear_error(raw: Any) -> None:
    array = applied(TWO, raw)
    if isinstance(array, InvalidInput):
        assert array.members["modality"] == "notes"
    else:
        assert array is None or (1 <= len(array) <= 8 and array.min() >= 1 and array.max() <= 64)


def test_stacking_pads_with_zeros() -> None:
    stacked = ONE.stack([np.array([1, 2]), np.array([3])])
    assert stacked.tolist() == [[1, 2], [3, 0]]
    assert ONE.stack([]).shape == (0, 1)


@pytest.mark.parametrize("text", ["NA", " NA\n", "n/a"])
def test_a_text_that_is_no_value_is_missing_at_every_door(text: str) -> None:
    columns = {"buckets": 64, "ngrams": 2, "max_tokens": 8, "missing": ("NA", "n/a")}
    one = TextModality(columns=("notes",), **columns).features("notes")  # type: ignore[arg-type]
    assert one.apply(text) is None
    assert one.apply(f"{text} is the answer") is not None
    assert ONE.apply(text) is not None  # a bundle that was written before there was a list
    two = TextModality(columns=("title", "review"), **columns).features("notes")  # type: ignore[arg-type]
    assert two.apply({"title": text, "review": text}) is None
    assert tokens(two, {"title": text, "review": "good"}) == tokens(two, {"review": "good"})
