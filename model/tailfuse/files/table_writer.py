"""Write a table piece by piece as .csv, .parquet or .jsonl: the file appears whole, or not at all."""

import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import polars as pl
from tailfuse_service.bundle import atomic_file

PART_ROWS = 65_536  # of a Parquet file's row groups

WriteFrame = Callable[[pl.DataFrame], None]


@contextmanager
def open_table_writer(path: Path | None) -> Iterator[WriteFrame]:
    """Yield a function that writes frame after frame; without a path, as CSV to stdout. Raises OSError."""
    if path is None:
        yield make_csv_writer(sys.stdout.buffer)
        sys.stdout.flush()
        return
    with atomic_file(path) as file:
        if path.suffix.lower() == ".parquet":
            with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as folder:
                yield from write_parquet(file, Path(folder))
        elif path.suffix.lower() == ".jsonl":
            yield lambda frame: frame.write_ndjson(file)
        else:
            yield make_csv_writer(file)


def make_csv_writer(file: IO[bytes]) -> WriteFrame:
    """Make a function that writes the header with the first frame only."""
    is_first = True

    def write(frame: pl.DataFrame) -> None:
        nonlocal is_first
        frame.write_csv(file, include_header=is_first)
        is_first = False

    return write


def write_parquet(file: IO[bytes], folder: Path) -> Iterator[WriteFrame]:
    """Yield a function that writes a frame into a file of its own in `folder`; then join them into one.

    polars writes a Parquet file in one go, but it does so from files without holding them in memory.
    """
    pending: list[pl.DataFrame] = []
    n_parts = 0

    def flush() -> None:
        nonlocal n_parts
        pl.concat(pending).write_parquet(folder / f"{n_parts:08}.parquet")
        pending.clear()
        n_parts += 1

    def write(frame: pl.DataFrame) -> None:
        pending.append(frame)
        if sum(map(len, pending)) >= PART_ROWS:
            flush()

    yield write
    if pending:
        flush()
    pl.scan_parquet(folder / "*.parquet").sink_parquet(file)
