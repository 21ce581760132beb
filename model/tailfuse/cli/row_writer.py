"""Write rows as they are answered: .csv and .jsonl with the base install alone, .parquet with polars."""

import csv
import io
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import orjson
from tailfuse_service.bundle import atomic_file

from tailfuse.files.output import check_stdout

PIECE_ROWS = 1024  # of a frame

Row = Mapping[str, Any]
WriteRow = Callable[[Row], object]


@contextmanager
def open_row_writer(
    path: Path | None, columns: Sequence[str], texts: Sequence[str], *, as_json: bool
) -> Iterator[WriteRow]:
    """Yield a function that writes a row: to stdout, or to a file whose ending is the format.

    A row may lack columns. The columns `texts` hold text. With `as_json` a row is any JSON, and is written as
    a line of its own. Raises OSError, UserError.
    """
    if path is not None and path.suffix.lower() == ".parquet":
        yield from write_parquet(path, columns, texts)
    elif path is None:
        check_stdout()
        yield from write_lines(sys.stdout.buffer) if as_json else write_csv(sys.stdout.buffer, columns)
    else:
        is_csv = path.suffix.lower() == ".csv"
        with atomic_file(path) as file:
            yield from write_csv(file, columns) if is_csv else write_lines(file, () if as_json else columns)


def write_csv(file: IO[bytes], columns: Sequence[str]) -> Iterator[WriteRow]:
    """Write the header, and yield a function that writes a line."""
    text = io.TextIOWrapper(file, "utf-8", newline="", write_through=True)
    lines = csv.DictWriter(text, columns, lineterminator="\n")
    lines.writeheader()
    try:
        yield lines.writerow
    finally:
        text.detach()  # the file is not this function's to close


def write_lines(file: IO[bytes], columns: Sequence[str] = ()) -> Iterator[WriteRow]:
    """Yield a function that writes a line of JSON; a column that the row lacks is null."""
    empty: Row = dict.fromkeys(columns)
    yield lambda row: file.write(orjson.dumps({**empty, **row}, option=orjson.OPT_APPEND_NEWLINE))


def write_parquet(path: Path, columns: Sequence[str], texts: Sequence[str]) -> Iterator[WriteRow]:
    """Yield a function that gathers rows and writes them as frames."""
    import polars as pl

    from tailfuse.files.table_writer import open_table_writer

    schema: dict[str, Any] = {name: pl.String if name in texts else pl.Float64 for name in columns}
    schema["row"] = pl.Int64
    pending: list[Row] = []
    with open_table_writer(path) as write_frame:

        def flush() -> None:
            write_frame(pl.DataFrame(pending, schema=schema))
            pending.clear()

        def write(row: Row) -> None:
            pending.append({**dict.fromkeys(columns), **row})
            if len(pending) == PIECE_ROWS:
                flush()

        yield write
        flush()
