"""A progress bar over the rows of a table, on a terminal only."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

BLOCK = 1 << 20  # bytes


@contextmanager
def show_rows(path: Path, what: str, *, hidden: bool) -> Iterator[Callable[[int], None]]:
    """Yield a function that is called with the number of rows that are done."""
    if hidden:
        yield lambda done: None
        return
    columns = TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(compact=True)
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(what, total=estimate_rows(path))
        yield lambda done: progress.update(task, completed=done)


def estimate_rows(path: Path) -> int | None:
    """Return the rows of a table, or its lines; None if that takes longer than to look at the file."""
    import polars as pl

    try:
        if path.suffix.lower() == ".parquet":
            return int(pl.scan_parquet(path, glob=False).select(pl.len()).collect().item())
        if path.suffix.lower() in (".csv", ".tsv", ".jsonl", ".ndjson"):
            with path.open("rb") as file:
                return sum(block.count(b"\n") for block in iter(lambda: file.read(BLOCK), b""))
    except (OSError, pl.exceptions.PolarsError):  # reading the table says what is wrong
        pass
    return None
