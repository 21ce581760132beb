"""How many rows a scoring has, about: from one file, because opening each of many takes long."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from tailfuse.scoring.score_shard import Task

SAMPLE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Plan:
    """The size of a scoring. `rows_per_byte` is that of one file; None if it cannot be told."""

    n_shards: int
    n_bytes: int
    rows_per_byte: float | None


def make_plan(tasks: Sequence[Task]) -> Plan:
    """Make the plan of tasks, the first of which is the largest."""
    n_bytes = sum(task.n_bytes for task in tasks)
    return Plan(len(tasks), n_bytes, estimate_rows_per_byte(tasks[0].source))


def estimate_rows_per_byte(path: Path) -> float | None:
    """Estimate the rows per byte of a file by its footer or the start of a text; None of other formats."""
    try:
        n_bytes = path.stat().st_size
        if path.suffix.lower() == ".parquet":
            return float(pl.scan_parquet(path, glob=False).select(pl.len()).collect().item()) / n_bytes
        if path.suffix.lower() in (".csv", ".tsv", ".jsonl", ".ndjson"):
            with path.open("rb") as file:
                sample = file.read(SAMPLE_BYTES)
            return sample.count(b"\n") / len(sample)
    except (OSError, ZeroDivisionError, pl.exceptions.PolarsError):
        pass  # scoring the file says what is wrong
    return None
