"""A text becomes a sparse row of n-grams: ids in ascending order, and how often each occurs."""

from base64 import b64encode
from typing import Any
from zlib import crc32

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from tailfuse_service.modalities import TextModality
from tailfuse_service.modalities.text.sparse_rows import (
    CHARACTERS_FROM,
    MAX_NGRAMS_PER_TOKEN,
    WORD_NGRAMS_FROM,
    SparseRows,
    find_shortest_ngrams,
    hash_characters,
    split_word,
)
from tailfuse_service.modalities.text.tokenizer import tokenize_unicode

MAX_TOKENS = 16


def make_rows(known: str, max_tokens: int = MAX_TOKENS) -> SparseRows:
    ngrams = map(crc32, find_shortest_ngrams(tokenize_unicode(known, 999)))
    hashes = np.array(sorted(set(ngrams)), "<u4").tobytes()
    return SparseRows(tokenize_unicode, ngrams=2, max_tokens=max_tokens, known=hashes)


def make_modality(**changes: Any) -> TextModality:
    keys = {"columns": ["t"], "tokenizer": 2, "buckets": 9, "ngrams": 1, "max_tokens": 9, "encoder": "lsa"}
    return TextModality.model_validate(keys | {"dimensions": 2, "known": b64encode(b"abcd")} | changes)


@given(st.text(max_size=300))
def test_ids_ascend_and_their_number_is_bounded(text: str) -> None:
    row = make_rows("x y z").apply(f"x {text}")
    assert row is not None
    assert row.dtype == np.int32
    assert (np.diff(row[:, 0]) > 0).all()
    assert row.min() >= 1
    assert len(row) <= MAX_TOKENS * MAX_NGRAMS_PER_TOKEN


def test_ngrams_of_each_kind_are_counted() -> None:
    row = make_rows("so so good").apply("So, so good!")
    assert row is not None
    ids, counts = row.T
    assert counts[ids < WORD_NGRAMS_FROM].sum() == 3 + 2  # three words, a comma and an exclamation mark
    assert counts[(ids >= WORD_NGRAMS_FROM) & (ids < CHARACTERS_FROM)].sum() == 2
    assert counts[ids >= CHARACTERS_FROM].sum() == 2 * len(split_word(b"so")) + len(split_word(b"good"))
    assert counts.max() == 2


@pytest.mark.parametrize("unit", ["a", "á", "很", "!", "word ", "wörd ", "ab1 ", "😀", "\u0e01"])
def test_a_long_text_is_no_longer_a_row(unit: str) -> None:
    rows = make_rows("love")
    row = rows.apply("love " + unit * 100_000)
    assert row is not None
    assert len(row) <= MAX_TOKENS * MAX_NGRAMS_PER_TOKEN


def test_characters_are_those_of_the_word_and_of_the_spaces_around_it() -> None:
    assert split_word("été".encode(), (3,)) == [" ét".encode(), "été".encode(), "té ".encode()]
    assert split_word(b"a") == [b" a "]
    assert split_word(b"x" * 40) == split_word(b"x" * 99)
    assert len(hash_characters(b"x" * 99)) == 3 * 34 - 9


@pytest.mark.parametrize(("text", "present"), [("lovely", True), ("qqq", False), ("", False), ("!", False)])
def test_a_text_is_absent_if_nothing_of_it_is_known(text: str, present: bool) -> None:
    assert (make_rows("love").apply(text) is not None) == present


def test_stacking_pads_with_zeros() -> None:
    rows = make_rows("a b")
    one, two = (rows.apply(text) for text in ("a", "a b"))
    assert one is not None
    assert two is not None
    stacked = rows.stack([one, two])
    assert stacked.shape == (2, len(two), 2)
    assert (stacked[0, len(one) :] == 0).all()
    assert rows.stack([]).shape == (0, 1, 2)


@pytest.mark.parametrize("changes", [{"known": None}, {"dimensions": None}, {"known": b64encode(b"abc")}])
def test_a_manifest_that_cannot_be_is_refused(changes: Any) -> None:
    with pytest.raises(ValidationError):
        make_modality(**changes)


def test_a_manifest_is_read_as_it_was_written() -> None:
    modality = make_modality()
    assert TextModality.model_validate_json(modality.model_dump_json()) == modality


def test_the_summary_counts_single_tokens() -> None:
    rows = make_rows("so good")
    row = rows.apply("so so good")
    assert row is not None
    words, repeats, vocabulary = make_modality().summary().compute(rows.stack([row]))[0]
    assert (words, repeats) == (3, pytest.approx(1 / 3))
    assert 0 < vocabulary < 1
