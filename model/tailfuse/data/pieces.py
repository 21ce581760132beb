"""The rows of a large table in pieces, read by processes of their own where cores are free and it saves time.

What a kind reads by columns takes a moment. Texts go one by one, a million of them for a minute or more.
"""

import math
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from joblib import cpu_count

from tailfuse.child_process import start_child
from tailfuse.data.read_rows import Report, Source, read_rows
from tailfuse.files.cache import Pieces
from tailfuse.files.table import Rows
from tailfuse.modalities import KINDS

PIECE = 2**14  # rows that are in memory at a time
WORKER = "tailfuse.data.piece_worker"
MIN_SAVED_S = 10.0  # a process takes about 2 seconds to start
AHEAD = 2  # pieces that each process has been given and that have not been taken yet


def read_pieces(source: Source, rows: Rows, report: Report | None) -> Iterator[Pieces]:
    """Yield the rows in pieces: their values end to end, and the length of each, -1 where it is absent.

    Raises TableError.
    """
    first, *others = (rows[start : start + PIECE] for start in range(0, len(rows), PIECE))
    start = time.perf_counter()
    piece = read_piece(source, first)
    count = count_processes(time.perf_counter() - start, len(others))
    yield piece
    read = (
        read_in_processes(source, others, count) if count else (read_piece(source, each) for each in others)
    )
    done = len(first)
    for each, piece in zip(others, read, strict=True):
        if report:
            report(done, len(rows))
        yield piece
        done += len(each)
    if report:
        report(done, len(rows))


def read_piece(source: Source, rows: Rows) -> Pieces:
    """Read the rows of one piece. Raises TableError."""
    ragged = KINDS[source.modality.kind].ragged
    arrays, position = read_rows(source, rows)
    lengths = np.where(position >= 0, 1, -1)
    if ragged and len(arrays):
        lengths[position >= 0] = [len(array) for array in arrays]
        arrays = np.concatenate(arrays.tolist())
    return arrays, lengths


def count_processes(piece_s: float, n_pieces: int) -> int:
    """Return how many processes to read pieces with, each of which takes about `piece_s`; 0: not worth it."""
    count = min(n_pieces, cpu_count())  # which knows the quota of a container
    if os.name != "posix" or count < 2:
        return 0  # elsewhere a process could not inherit the socket over which it is spoken to
    saved_s = piece_s * (n_pieces - math.ceil(n_pieces / count))
    return count if saved_s >= MIN_SAVED_S else 0


def read_in_processes(source: Source, pieces: Sequence[Rows], count: int) -> Iterator[Pieces]:
    """Yield each piece in turn, read by so many processes.

    A process is not heard: what goes wrong in it goes wrong here too, where its piece is read again. Raises
    TableError.
    """
    columns = source.table.select(source.modality.column_names)
    children = [start_child(WORKER, is_heard=False) for _ in range(count)]

    def send(at: int) -> None:
        if at < len(pieces):
            children[at % count].send(replace(source, table=columns[pieces[at]]))

    try:
        for at in range(AHEAD * count):
            send(at)
        for at, rows in enumerate(pieces):
            made = children[at % count].receive()
            send(at + AHEAD * count)
            yield read_piece(source, rows) if made is None else made
    finally:
        for child in children:
            child.kill()
