"""Tables to score, and a runner of shards in this process: starting processes takes longer than scoring."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import polars as pl
from tailfuse.scoring.score_shard import Outcome, Setup, ShardScorer, Task


def run_here(setup: Setup, tasks: Sequence[Task], processes: int | None) -> Iterator[int | Outcome]:
    """Score one task after another, as `run_in_processes` does with one process."""
    scorer = ShardScorer(setup)
    for task in tasks:
        rows: list[int] = []
        outcome = scorer.score(task, rows.append)
        yield from rows
        yield outcome


def write_shard(path: Path, ages: Sequence[Any], **columns: Any) -> Path:
    """Write a Parquet file with the column `age`, as text, and others."""
    path.parent.mkdir(parents=True, exist_ok=True)
    cells = [None if age is None else str(age) for age in ages]
    schema = {"id": pl.Int64, "age": pl.String}
    table = pl.DataFrame({"id": range(len(cells)), "age": cells}, schema=schema)
    table.with_columns(**columns).write_parquet(path)
    return path


def list_files(folder: Path) -> set[str]:
    """Return the paths of all files below a folder."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
