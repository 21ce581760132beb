"""Texts as TF-IDF on singular vectors: the same numbers by columns in training and by rows in the graph."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tailfuse.modalities import KINDS
from tailfuse.modalities.ragged import keep_apart
from tailfuse.modalities.text import TextSpec, lsa
from tailfuse.modalities.text.lsa import LsaProjection, make_tfidf, sum_products
from tailfuse_service.modalities import TextModality

CORPUS = [
    "a lovely red dress, lovely fabric", "the dress runs small", "很好的裙子 很好", "ผ้านุ่มใส่สบาย",
    "Отличное платье, отличное!", "5'4\" and 3.14 !!! 😀", "the the the the", "x",
    "wonderful" * 9, "red fabric runs small",
]  # fmt: skip


def fit(texts: list[str], **keys: Any) -> TextModality:
    spec = TextSpec(kind="text", columns=("t",), **keys)
    modality = KINDS["text"].fit("m", spec, pl.DataFrame({"t": texts}), np.arange(len(texts)), Path())
    assert isinstance(modality, TextModality)
    return modality


def project(modality: TextModality, texts: list[str], seed: int = 0) -> tuple[LsaProjection, Any]:
    """Return a projection that was fitted to the texts, and their rows."""
    features = modality.features("m")
    rows = [row for text in texts if (row := features.apply(text)) is not None]
    assert modality.dimensions is not None
    projection = LsaProjection(modality.buckets, modality.dimensions)
    projection.fit(keep_apart(rows), seed)
    return projection, rows


MODALITY = fit(CORPUS * 4, buckets=128)
PROJECTION, _ = project(MODALITY, CORPUS * 4)
PHRASES = st.lists(st.sampled_from(CORPUS) | st.text(max_size=30), max_size=4).map(" ".join)


@given(st.lists(PHRASES, min_size=1, max_size=5))
def test_the_graph_makes_the_features_that_training_takes(texts: list[str]) -> None:
    features = MODALITY.features("m")
    rows = [row for text in texts if (row := features.apply(text)) is not None]
    padded = torch.from_numpy(features.stack(rows))
    expected = PROJECTION.compute_features(keep_apart(rows))
    torch.testing.assert_close(PROJECTION(padded), torch.from_numpy(expected), atol=1e-5, rtol=1e-4)
    longer = torch.nn.functional.pad(padded, (0, 0, 0, 7))
    torch.testing.assert_close(PROJECTION(longer), PROJECTION(padded), atol=1e-6, rtol=1e-5)


def test_the_features_of_many_texts_are_kept_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAILFUSE_CACHE", str(tmp_path))
    _, rows = project(MODALITY, CORPUS * 4)
    train = np.arange(0, len(rows), 2)
    in_memory = PROJECTION.fit_features(keep_apart(rows), train, seed=0)
    assert not list(tmp_path.iterdir())
    monkeypatch.setattr(lsa, "MIN_KEPT_NUMBERS", 1)
    monkeypatch.setattr(lsa, "PROJECTED_ROWS", 3)
    seen: list[tuple[int, int]] = []
    for _ in range(2):
        kept = PROJECTION.fit_features(
            keep_apart(rows), train, seed=0, report=lambda *done: seen.append(done)
        )
        np.testing.assert_allclose(kept, in_memory, atol=1e-6)
        assert not kept.flags.owndata
    assert seen[0] == (0, len(rows))
    assert seen[-2] == (len(rows), len(rows))  # the second time they were there
    assert len(list(tmp_path.glob("texts-*.npy"))) == 1
    other = PROJECTION.fit_features(keep_apart(rows), train[1:], seed=0)  # fitted to other rows
    assert len(list(tmp_path.glob("texts-*.npy"))) == 2
    assert np.abs(other - in_memory).max() > 1e-3


@pytest.mark.parametrize("length", [1, 127, 128, 129, 500])
def test_the_pieces_of_a_row_add_up(length: int) -> None:
    random = torch.Generator().manual_seed(0)
    buckets = torch.zeros(4, length, dtype=torch.int64)
    for row, used in enumerate((length, 1, length // 2 + 1, max(1, length - 1))):
        buckets[row, :used] = torch.randint(1, 50, (used,), generator=random)
    values = torch.rand(4, length, generator=random) * (buckets > 0)
    table = torch.randn(50, 6, generator=random).half()
    expected = (values[:, :, None] * table[buckets].float()).sum(1)
    torch.testing.assert_close(sum_products(buckets, values, table), expected, atol=1e-4, rtol=1e-4)
    assert sum_products(buckets[:0], values[:0], table).shape == (0, 6)


def test_tf_idf_is_that_of_the_definition() -> None:
    modality = fit(["a b a", "b c", "d", "e"], buckets=4096)
    projection, rows = project(modality, ["a b a", "b c", "d", "e"])
    ngrams = [["a", "b", "a", "a b", "b a"], ["b", "c", "b c"], ["d"], ["e"]]
    found = make_tfidf(keep_apart(rows), projection.tfidf)[:, 1 : 1 + 4096]
    counts = Counter(gram for each in ngrams for gram in set(each))
    for at, each in enumerate(ngrams):
        tfidf = [(1 + np.log(each.count(gram))) * (np.log(5 / (1 + counts[gram])) + 1) for gram in set(each)]
        expected = sorted(np.array(tfidf) / np.linalg.norm(tfidf))
        row = found[[at]].toarray()[0]
        np.testing.assert_allclose(sorted(row[row > 0]), expected, rtol=1e-6)


def test_words_and_characters_have_buckets_of_their_own() -> None:
    rows = MODALITY.features("m").apply("lovely dress")
    assert rows is not None
    buckets = PROJECTION.tfidf.find_buckets(torch.from_numpy(rows[:, 0]))
    assert (buckets <= 128).sum() == 3  # two words and their pair
    assert (buckets > 128).sum() == 5 + 6 + 4 + 5 + 3 + 4
    assert int(buckets.max()) <= 256
    assert PROJECTION.tfidf.find_buckets(torch.tensor([0])).tolist() == [0]


def test_the_projection_depends_on_the_seed_alone() -> None:
    texts = [f"{word} {other}" for word in ("red", "blue", "big") for other in "abcdefgh"]
    one, again, other = (project(fit(texts), texts, seed)[0].vectors for seed in (0, 0, 1))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


def test_texts_that_repeat_each_other_have_no_empty_directions() -> None:
    texts = ["red dress", "blue shoe"] * 20
    modality = fit(texts)
    assert modality.dimensions == 10
    vectors = project(modality, texts)[0].vectors
    used = vectors.abs().amax(0) > 0
    assert used.sum() == 2  # the rank of these rows; any other direction would be noise
    assert vectors.isfinite().all()


def test_the_training_texts_features_have_mean_square_1() -> None:
    projection, rows = project(MODALITY, CORPUS * 4)
    features = projection.compute_features(keep_apart(rows))
    used = (projection.vectors.abs().amax(0) > 0).numpy()
    assert np.square(features[:, used]).mean() == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("text", ["", " \n", "\u200b", "жжжж ыыыы", "日本", "zzz qqq"])
def test_a_text_without_a_known_ngram_is_absent(text: str) -> None:
    assert fit(["a lovely dress", "很好"]).features("m").apply(text) is None


@pytest.mark.parametrize("text", ["lovelier", "DRESS!", "很", "x a"])
def test_a_text_with_any_known_ngram_is_present(text: str) -> None:
    assert fit(["a lovely dress", "很好"]).features("m").apply(text) is not None


def test_a_column_without_a_token_can_be_fitted() -> None:
    modality = fit([" \n", "\u200b"])
    assert (modality.dimensions, modality.known) == (1, b"")
    assert modality.features("m").apply("word") is None
    projection, rows = project(modality, [" "])
    assert rows == []
    assert projection.compute_features(keep_apart([])).shape == (0, 1)
