"""Batches of bounded memory: what is in each, and that the answers are in the order of the rows."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tailfuse.data.split_arrays import SplitArrays
from tailfuse.evaluation.predict_part import MAX_NUMBERS, MAX_ROWS, NUMBERS_PER_ID, predict_part
from tailfuse.modalities.ragged import keep_apart
from tailfuse_service.bundle import Batch, Output

MAX_IDS = MAX_NUMBERS // NUMBERS_PER_ID


class Recorder:
    """Answer a row with the first number of each of its modalities, and keep the batches."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []

    def __call__(self, batch: Batch) -> Output:
        self.batches.append(batch)
        first = np.zeros(batch.presence.shape, np.float32)
        for column, (name, rows) in enumerate(batch.inputs.items()):
            first[batch.rows[name], column] = rows.reshape(len(rows), -1)[:, 0] if rows.size else 0
        return Output(first, first, first, conflict=first[:, 0])

    def shapes(self, name: str) -> list[tuple[int, ...]]:
        return [batch.inputs[name].shape for batch in self.batches]


def make_part(**inputs: NDArray[Any]) -> SplitArrays:
    """Make a part whose rows have every modality."""
    count = len(next(iter(inputs.values())))
    position = {name: np.arange(count) for name in inputs}
    return SplitArrays(inputs, position, np.zeros(count, np.int64))


def make_ids(lengths: NDArray[np.int64], columns: tuple[int, ...] = ()) -> NDArray[Any]:
    """Make rows of these lengths, each filled with its number, from 1."""
    return keep_apart([np.full((n, *columns), at + 1) for at, n in enumerate(lengths)])


@pytest.mark.parametrize("columns", [(), (2,)])  # tokens; ids and counts of n-grams
@pytest.mark.parametrize("longest", [1, 20, 128, 2048, MAX_IDS + 1])
def test_ids_of_a_batch_are_bounded_and_little_is_padding(longest: int, columns: tuple[int, ...]) -> None:
    lengths = np.random.default_rng(0).integers(1, longest + 1, 700)
    run = Recorder()
    output = predict_part(run, make_part(text=make_ids(lengths, columns)))
    assert output.probabilities[:, 0].tolist() == list(range(1, 701))
    assert output.conflict is not None
    assert output.conflict.tolist() == list(range(1, 701))
    shapes = run.shapes("text")
    assert all(rows <= MAX_ROWS and (rows == 1 or rows * length <= MAX_IDS) for rows, length, *_ in shapes)
    assert len(shapes) <= 3 + 1.5 * lengths.sum() / MAX_IDS  # no batch is much smaller than it may be
    assert sum(rows * length for rows, length, *_ in shapes) < 1.3 * lengths.sum() + MAX_ROWS


@pytest.mark.parametrize(
    ("shape", "rows"),
    [((5,), MAX_ROWS), ((3, 224, 224), 27), ((3, 64, 64), MAX_ROWS), ((3, 2048, 2048), 1)],
)
def test_rows_of_one_size_keep_their_order_in_batches_of_as_many_as_fit(
    shape: tuple[int, ...], rows: int
) -> None:
    one = np.zeros(shape, np.uint8)
    images = np.broadcast_to(one, (300 if rows > 1 else 3, *shape))
    run = Recorder()
    predict_part(run, make_part(image=images))
    counts = [n for n, *_ in run.shapes("image")]
    assert set(counts[:-1]) == {rows}
    assert sum(counts) == len(images)


def test_curves_of_different_lengths_are_counted_by_their_numbers() -> None:
    lengths = [10, 100_000, 1000, 100_000, 10]
    curves = keep_apart([np.full((n, 20), at, np.float32) for at, n in enumerate(lengths)])
    run = Recorder()
    output = predict_part(run, make_part(curve=curves))
    assert output.weights[:, 0].tolist() == [0, 1, 2, 3, 4]
    assert run.shapes("curve") == [(2, 100_000, 20), (3, 1000, 20)]


def test_a_modality_counts_where_it_is_present() -> None:
    texts = make_ids(np.full(100, MAX_IDS // 50))
    numbers = np.arange(1000, dtype=np.float32)[:, None]
    position = {"text": np.full(1000, -1), "numbers": np.arange(1000)}
    position["text"][::10] = np.arange(100)
    run = Recorder()
    output = predict_part(
        run, SplitArrays({"text": texts, "numbers": numbers}, position, np.zeros(1000, np.int64))
    )
    assert output.weights[:, 1].tolist() == list(range(1000))
    assert output.weights[:, 0].tolist() == [at // 10 + 1 if at % 10 == 0 else 0 for at in range(1000)]
    assert run.shapes("text") == [(50, MAX_IDS // 50), (50, MAX_IDS // 50), (0, 1), (0, 1), (0, 1)]
    assert [len(batch.presence) for batch in run.batches] == [50, 256, 256, 256, 182]


def test_a_modality_that_no_row_has_is_empty() -> None:
    inputs: dict[str, NDArray[Any]] = {"text": make_ids(np.array([5])), "x": np.ones((3, 1), np.float32)}
    position = {"text": np.full(3, -1), "x": np.arange(3)}
    run = Recorder()
    assert len(predict_part(run, SplitArrays(inputs, position, np.zeros(3, np.int64)))) == 3
    assert run.shapes("text") == [(0, 1)]
    empty = inputs | {"text": np.empty((0, 4), np.float32)}
    assert len(predict_part(run, SplitArrays(empty, position, np.zeros(3, np.int64)))) == 3
