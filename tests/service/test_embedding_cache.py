"""Embeddings of texts are computed once, within a number of bytes, and answers stay the same."""

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper, save
from tailfuse_service.bundle import Batch, EmbeddingCache
from tailfuse_service.bundle.cached_inputs import CachedInputs
from tailfuse_service.bundle.embedding_cache import ENTRY_BYTES
from tailfuse_service.bundle.runtime_onnx import OnnxRuntime
from tailfuse_service.metrics import Metrics

WIDTH = 4
ROW_BYTES = 4 * WIDTH + ENTRY_BYTES


def embeddings(*values: float) -> NDArray[np.float32]:
    return np.repeat(np.array(values, np.float32)[:, None], WIDTH, axis=1)


def test_the_least_recently_used_embedding_leaves_first() -> None:
    cache = EmbeddingCache(2 * ROW_BYTES)
    cache.put([b"a", b"b"], embeddings(1, 2))
    assert cache.held == 2 * ROW_BYTES
    cache.get([b"a"])
    cache.put([b"c"], embeddings(3))
    assert cache.held == cache.max_bytes
    found = cache.get([b"a", b"b", b"c"])
    assert [None if each is None else each[0] for each in found] == [1, None, 3]
    assert cache.take_counts() == (3, 1)
    assert cache.take_counts() == (0, 0)


def test_an_embedding_counts_once_and_does_not_hold_its_batch() -> None:
    cache = EmbeddingCache(10 * ROW_BYTES)
    batch = embeddings(*range(1000))
    for _ in range(3):
        cache.put([b"a"], batch[:1])
    assert cache.held == ROW_BYTES
    [found] = cache.get([b"a"])
    assert found is not None
    assert found.base is None
    batch[:] = 9
    assert found[0] == 0


def test_a_cache_that_is_too_small_for_one_embedding_keeps_none() -> None:
    cache = EmbeddingCache(ROW_BYTES - 1)
    cache.put([b"a"], embeddings(1))
    assert (cache.held, cache.get([b"a"])) == (0, [None])


def test_threads_share_a_cache() -> None:
    cache = EmbeddingCache(50 * ROW_BYTES)

    def work(seed: int) -> None:
        random = np.random.default_rng(seed)
        for _ in range(300):
            keys = [bytes([key]) for key in random.integers(0, 100, 8)]
            cache.put(keys, embeddings(*(key[0] for key in keys)))
            for key, found in zip(keys, cache.get(keys), strict=True):
                assert found is None or found[0] == key[0]

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert cache.held == 50 * ROW_BYTES
    assert sum(cache.take_counts()) == 4 * 300 * 8


class Recorder:
    """A runtime's session that counts the rows that it encodes."""

    def __init__(self, session: Any) -> None:
        self.session = session
        self.encoded: list[tuple[int, ...]] = []

    def run(self, outputs: list[str], feed: dict[str, NDArray[Any]]) -> Any:
        self.encoded.append(feed["note"].shape)
        return self.session.run(outputs, feed)


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A graph whose "embedding" of a note is the sum of its tokens, which it takes too."""
    f32, i64 = TensorProto.FLOAT, TensorProto.INT64
    nodes = [
        helper.make_node("Cast", ["note"], ["tokens"], to=f32),
        helper.make_node("ReduceSum", ["tokens", "one"], ["sums"], keepdims=1),
        helper.make_node("Mul", ["sums", "ones"], ["note.features"]),
        helper.make_node("Concat", ["note.features", "note.cached"], ["all"], axis=0),
        helper.make_node("Cast", ["presence"], ["zeros"], to=f32),
        helper.make_node("ReduceMax", ["all", "one"], ["largest"], keepdims=1),
        helper.make_node("Unsqueeze", ["note.rows", "one"], ["at"]),
        helper.make_node("ScatterND", ["zeros", "at", "largest"], ["probabilities"]),
        helper.make_node("Identity", ["probabilities"], ["weights"]),
        helper.make_node("Identity", ["probabilities"], ["confidences"]),
    ]
    graph = helper.make_graph(
        nodes,
        "texts",
        [
            helper.make_tensor_value_info("presence", TensorProto.BOOL, ["B", 1]),
            helper.make_tensor_value_info("note", i64, ["n", "L"]),
            helper.make_tensor_value_info("note.rows", i64, ["r"]),
            helper.make_tensor_value_info("note.cached", f32, ["k", WIDTH]),
        ],
        [
            helper.make_tensor_value_info(name, f32, ["B", 1])
            for name in ("probabilities", "weights", "confidences")
        ]
        + [helper.make_tensor_value_info("note.features", f32, ["n", WIDTH])],
        [
            numpy_helper.from_array(np.array([1]), "one"),
            numpy_helper.from_array(np.ones((1, WIDTH), np.float32), "ones"),
            numpy_helper.from_array(np.zeros((0, WIDTH), np.float32), "note.cached"),
        ],
    )
    path = tmp_path_factory.mktemp("graph") / "model.onnx"
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
    return path


def make_batch(*notes: list[int] | None) -> Batch:
    """Notes of different lengths, None where there is none."""
    present = {at: note for at, note in enumerate(notes) if note is not None}
    rows = np.zeros((len(present), max(map(len, present.values()), default=1)), np.int64)
    for row, note in zip(rows, present.values(), strict=True):
        row[: len(note)] = note
    presence = np.array([[note is not None] for note in notes])
    return Batch({"note": rows}, {"note": np.array(list(present), np.int64)}, presence)


BATCHES = [
    make_batch([1, 2], [3]),
    make_batch([3], [1, 2], [4, 4, 4]),
    make_batch(None, [9], None, [1, 2], None),
    make_batch([4, 4, 4], [3]),
    make_batch(None, None),
    make_batch([7, 7], [7, 7]),
    make_batch([8], [9], [9]),
]


@pytest.mark.parametrize("limit", [0, 2 * ROW_BYTES, 2**20])
def test_answers_are_those_without_a_cache(graph: Path, limit: int) -> None:
    plain, cached = OnnxRuntime(graph), OnnxRuntime(graph, cache=EmbeddingCache(limit))
    for batch in [*BATCHES, *BATCHES[::-1]]:
        np.testing.assert_array_equal(cached.run(batch).probabilities, plain.run(batch).probabilities)


def test_a_known_note_is_not_encoded_again(graph: Path) -> None:
    cache = EmbeddingCache(2**20)
    runtime = OnnxRuntime(graph, cache=cache)
    recorder = Recorder(runtime._session)
    runtime._session = recorder
    for batch in BATCHES[:4]:
        runtime.run(batch)
    # Two; the third of three, which is longer; one of two; none.
    assert recorder.encoded == [(2, 2), (1, 3), (1, 1), (0, 1)]
    assert cache.take_counts() == (5, 4)


def test_blank_rows_are_neither_kept_nor_looked_up(graph: Path) -> None:
    """They warm a graph up, and try how large a batch fits into memory: they must run."""
    cache = EmbeddingCache(2**20)
    runtime = OnnxRuntime(graph, cache=cache)
    recorder = Recorder(runtime._session)
    runtime._session = recorder
    for _ in range(2):
        runtime.run(make_batch([0], [0]))
    assert recorder.encoded == [(2, 1), (2, 1)]
    assert (cache.held, cache.take_counts()) == (0, (0, 0))


def test_graphs_do_not_share_embeddings(graph: Path) -> None:
    cache = EmbeddingCache(2**20)
    for _ in range(2):
        OnnxRuntime(graph, cache=cache).run(BATCHES[0])
    assert cache.take_counts() == (0, 4)


def test_modalities_do_not_share_embeddings() -> None:
    inputs = CachedInputs(["note", "title"], EmbeddingCache(2**20))
    rows = np.array([[1, 2, 0]])
    feed = {"note": rows, "note.rows": np.array([0]), "title": rows, "title.rows": np.array([0])}
    missing = inputs.split(feed).missing
    assert missing["note"] != missing["title"]
    longer = inputs.split(feed | {"note": np.array([[1, 2, 0, 0]])}).missing
    assert longer == missing  # padding is none of the text


def test_metrics_count_hits_and_misses(graph: Path) -> None:
    metrics, cache = Metrics(), EmbeddingCache(2**20)
    assert b"tailfuse_text_cache_misses_total 0.0" in metrics.text()
    metrics.watch_texts(cache)
    runtime = OnnxRuntime(graph, cache=cache)
    for expected in ((0, 2), (2, 2), (4, 2)):
        runtime.run(BATCHES[0])
        text = metrics.text().decode()
        assert f"tailfuse_text_cache_hits_total {expected[0]:.1f}\n" in text
        assert f"tailfuse_text_cache_misses_total {expected[1]:.1f}\n" in text
        assert f"tailfuse_text_cache_bytes {2 * ROW_BYTES:.1f}\n" in text
