"""Pieces of a large table are read by several processes: the same rows, whatever becomes of a process."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from tailfuse.child_process import ChildProcess, start_child
from tailfuse.data import pieces
from tailfuse.data.pieces import count_processes, read_in_processes, read_pieces
from tailfuse.data.read_rows import Source
from tailfuse.errors import TableError
from tailfuse_service.modalities import TextModality
from tailfuse_service.modalities.limits import DEFAULT_LIMITS

from tests.support.process import until

ROWS = 100
WORDS = ["oak", "elm", None, "ash and fir", "  ", "橡树 oak", "oak oak, elm!"]


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[ChildProcess]:
    """Three processes read in any case; those that were started are listed."""
    children: list[ChildProcess] = []

    def start(*arguments: Any, **options: Any) -> ChildProcess:
        children.append(start_child(*arguments, **options))
        return children[-1]

    monkeypatch.setattr(pieces, "PIECE", 8)
    monkeypatch.setattr(pieces, "MIN_SAVED_S", -1.0)
    monkeypatch.setattr(pieces, "cpu_count", lambda: 3)
    monkeypatch.setattr(pieces, "start_child", start)
    return children


def make_source(texts: list[str | None], encoder: str = "bag") -> Source:
    keys = {
        "columns": ["words"],
        "tokenizer": 2,
        "buckets": 99,
        "ngrams": 2,
        "max_tokens": 9,
        "encoder": encoder,
    }
    table = pl.DataFrame({"other": range(len(texts)), "words": texts})
    return Source(table, "m", TextModality.model_validate(keys), Path())


def read_all(source: Source, rows: np.ndarray) -> list[list[list[int]]]:
    """Read the rows as lists: of each piece its values and its lengths."""
    return [[values.tolist(), lengths.tolist()] for values, lengths in read_pieces(source, rows, None)]


def read_here(source: Source, rows: np.ndarray) -> list[list[list[int]]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pieces, "count_processes", lambda *_: 0)
        return read_all(source, rows)


def test_processes_read_the_same_rows_in_the_same_order(started: list[ChildProcess]) -> None:
    source = make_source([WORDS[at % 7] for at in range(ROWS)])
    rows = np.random.default_rng(0).permutation(ROWS)[:77]
    assert read_all(source, rows) == read_here(source, rows)
    assert len(started) == 3
    assert all(child.process.poll() is not None for child in started)


def test_a_value_that_cannot_be_read_is_told_with_its_row_in_the_table(started: list[ChildProcess]) -> None:
    texts: list[str | None] = ["oak"] * ROWS
    texts[61] = "x" * (DEFAULT_LIMITS.max_text_chars + 1)
    with pytest.raises(TableError, match=r"^row 62: .*characters"):
        read_all(make_source(texts), np.arange(ROWS)[::-1])
    assert all(child.process.poll() is not None for child in started)


@pytest.mark.parametrize("how_many", [1, 3])
def test_the_pieces_of_a_process_that_dies_are_read_here(started: list[ChildProcess], how_many: int) -> None:
    source = make_source([WORDS[at % 7] for at in range(ROWS)])
    rows = np.arange(ROWS)
    read = read_in_processes(source, np.split(rows, 10), 3)
    found = [next(read)]
    for child in started[:how_many]:
        child.process.kill()
        until(lambda child=child: child.process.poll() is not None, "the process is gone")
    found += read
    assert [[values.tolist(), lengths.tolist()] for values, lengths in found] == [
        [values.tolist(), lengths.tolist()]
        for values, lengths in (pieces.read_piece(source, each) for each in np.split(rows, 10))
    ]


def test_who_takes_no_more_pieces_leaves_no_process(started: list[ChildProcess]) -> None:
    read = read_pieces(make_source(["oak"] * ROWS), np.arange(ROWS), None)
    next(read), next(read)
    read.close()  # type: ignore[attr-defined]  # it is a generator
    assert len(started) == 3
    assert all(child.process.poll() is not None for child in started)


def test_progress_goes_to_the_last_row(started: list[ChildProcess]) -> None:
    seen: list[tuple[int, int]] = []
    list(read_pieces(make_source(["oak"] * ROWS), np.arange(ROWS), lambda *step: seen.append(step)))
    assert seen == [*((done, ROWS) for done in range(8, ROWS, 8)), (ROWS, ROWS)]


@pytest.mark.parametrize(
    ("piece_s", "n_pieces", "cores", "expected"),
    [(1.0, 60, 2, 2), (1.0, 60, 16, 16), (1.0, 12, 16, 12), (1.0, 10, 16, 0), (0.01, 60, 16, 0),
     (9.0, 60, 1, 0), (9.0, 0, 16, 0), (9.0, 1, 16, 0)],
)  # fmt: skip
def test_processes_are_started_where_they_save_more_than_they_cost(
    monkeypatch: pytest.MonkeyPatch, piece_s: float, n_pieces: int, cores: int, expected: int
) -> None:
    monkeypatch.setattr(pieces, "cpu_count", lambda: cores)
    assert count_processes(piece_s, n_pieces) == expected
