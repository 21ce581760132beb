"""Write a table piece by piece as .csv, .parquet or .jsonl: the file appears whole, or not at all."""

import errno
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO

import polars as pl
from tailfuse_service.bundle import atomic_file

from tailfuse.files.output import check_stdout

PART_ROWS = 65_536  # of a Parquet file's row groups
PROBE_BYTES = 1 << 16

WriteFrame = Callable[[pl.DataFrame], None]


@contextmanager
def open_table_writer(path: Path | None) -> Iterator[WriteFrame]:
    """Yield a function that writes frame after frame; without a path, as CSV to stdout.

    An empty frame has the columns too: a table without rows begins, and may end, with one. Raises OSError,
    and UserError if stdout is closed.
    """
    if path is None:
        check_stdout()
        yield make_csv_writer(sys.stdout.buffer)
        sys.stdout.flush()
        return
    with atomic_file(path) as file:
        if path.suffix.lower() == ".parquet":
            with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as folder:
                yield from write_parquet(file, Path(folder))
        elif path.suffix.lower() == ".jsonl":
            yield partial(write_json_lines, file)
        else:
            yield make_csv_writer(file)


def make_csv_writer(file: IO[bytes]) -> WriteFrame:
    """Make a function that writes the header with the first frame only."""
    is_first = True

    def write(frame: pl.DataFrame) -> None:
        nonlocal is_first
        with raise_os_errors(file):
            frame.write_csv(file, include_header=is_first)
        is_first = False

    return write


def write_json_lines(file: IO[bytes], frame: pl.DataFrame) -> None:
    """Write a line for each row. Raises OSError."""
    with raise_os_errors(file):
        frame.write_ndjson(file)


def write_parquet(file: IO[bytes], folder: Path) -> Iterator[WriteFrame]:
    """Yield a function that writes a frame into a file of its own in `folder`; then join them into one.

    polars writes a Parquet file in one go, but it does so from files without holding them in memory.
    """
    pending: list[pl.DataFrame] = []
    parts: list[Path] = []

    def flush() -> None:
        parts.append(folder / f"{len(parts):08}.parquet")
        table = pl.concat(pending)
        with parts[-1].open("wb") as part, raise_os_errors(part):
            table.write_parquet(part, compression="uncompressed")  # it is read once, and removed
        pending.clear()

    def write(frame: pl.DataFrame) -> None:
        pending.append(frame)
        if sum(map(len, pending)) >= PART_ROWS:
            flush()

    yield write
    if pending:
        flush()
    with raise_os_errors(file):
        # Without glob: the name of the folder may hold a bracket.
        pl.scan_parquet(parts, glob=False).sink_parquet(file)


@contextmanager
def raise_os_errors(file: IO[bytes]) -> Iterator[None]:
    """Raise the system's error where polars cannot write a file.

    What polars says of a full disk may be no more than that bytes do not fit the format.
    """
    try:
        yield
    except (pl.exceptions.PolarsError, OSError) as error:
        message = str(error).splitlines()[0]
    else:
        return
    file.seek(0, os.SEEK_END)
    file.write(bytes(PROBE_BYTES))
    file.flush()
    raise OSError(errno.EIO, message)  # it can be written now
