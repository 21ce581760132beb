"""A progress bar over the rows of a table, on a terminal only."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click

BLOCK = 1 << 20  # bytes


@contextmanager
def show_rows(path: Path, label: str, out: Path | None) -> Iterator[Callable[[int], None]]:
    """Yield a function that is called with the number of rows that are done since the last call.

    There is no bar where the answers are printed on the same terminal.
    """
    on_terminal = sys.stderr.isatty() and not (out is None and sys.stdout.isatty())
    total = estimate_rows(path) if on_terminal else None
    with click.progressbar(length=total or 0, label=label, file=sys.stderr, hidden=not total) as bar:
        yield bar.update


def estimate_rows(path: Path) -> int | None:
    """Return the rows of a Parquet file or the lines of a text; None if counting them takes too long."""
    try:
        if path.suffix.lower() == ".parquet":
            import polars as pl

            return int(pl.scan_parquet(path, glob=False).select(pl.len()).collect().item())
        if path.suffix.lower() in (".csv", ".tsv", ".jsonl", ".ndjson"):
            with path.open("rb") as file:
                return sum(block.count(b"\n") for block in iter(lambda: file.read(BLOCK), b""))
    except Exception:  # reading the table says what is wrong
        pass
    return None
