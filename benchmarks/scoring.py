"""Rows per second of `tailfuse score` and of the runtime: python benchmarks/scoring.py BUNDLE TABLE [ROWS]

`--columns ROWS` trains on a generated table of 20 numbers and 4 categories, and measures with that. The rows
of the table, repeated to ROWS, are four shards. Beside `score` with one and two processes, which read,
decode, answer and write, stands the runtime with one thread in a plain loop over batches that are decoded
already: the limit of one core. Prints JSON.
"""

import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tailfuse
from tailfuse.data.arrays import make_split_arrays
from tailfuse.files.table import read_table
from tailfuse_service.bundle import Batch, open_bundle

N_SHARDS = 4
BATCH_ROWS = 256  # as in `score`
TRAINING_ROWS = 4_000


def write_columns(folder: Path) -> tuple[Path, Path]:
    """Write a table of columns, and train on it; return the bundle and the table."""
    import polars as pl

    random = np.random.default_rng(0)
    labels = random.integers(0, 6, TRAINING_ROWS)
    numbers = random.normal(size=(TRAINING_ROWS, 20)) + labels[:, None] * random.normal(size=20) / 3
    columns = {f"n{at}": numbers[:, at] for at in range(20)}
    columns |= {f"c{at}": random.choice(["red", "green", "blue", "violet"], TRAINING_ROWS) for at in range(4)}
    table = folder / "table.csv"
    pl.DataFrame({**columns, "label": [f"class {label}" for label in labels]}).write_csv(table)
    spec = {
        "name": "columns", "table": str(table), "label": "label",
        "modalities": {name: {"kind": "tabular", "columns": f"{name}*"} for name in ("n", "c")},
        "training": {"epochs": 5, "folds": 0},
    }  # fmt: skip
    model = tailfuse.train(spec, folder / "run")
    assert model.path is not None
    return model.path, table


def write_shards(table: Path, rows: int, folder: Path) -> list[Path]:
    """Write the shards beside links to the table's neighbours: paths of images are relative to a shard."""
    for neighbour in table.resolve().parent.iterdir():
        (folder / neighbour.name).symlink_to(neighbour)
    frame = read_table(table)
    per_shard = rows // N_SHARDS
    repeated = frame[np.arange(per_shard) % len(frame)]
    shards = [folder / f"shard-{at}.parquet" for at in range(N_SHARDS)]
    for shard in shards:
        repeated.write_parquet(shard)
    return shards


def iterate_batches(table: Path, bundle: Any) -> Iterator[Batch]:
    """Yield the rows of a table as decoded batches."""
    arrays = make_split_arrays(read_table(table), bundle.manifest.modalities, table.parent)
    present = np.flatnonzero(arrays.presence().any(axis=1))
    for start in range(0, len(present), BATCH_ROWS):
        yield arrays.take(present[start : start + BATCH_ROWS]).batch()


def measure(work: Callable[[], int]) -> dict[str, float]:
    """Measure the rows per second of work that returns its number of rows: of wall time, and of CPU time."""
    start, cpu = time.perf_counter(), read_cpu_s()
    rows = work()
    wall_s, cpu_s = time.perf_counter() - start, read_cpu_s() - cpu
    return {
        "rows": rows, "wall_s": round(wall_s, 2), "cpu_s": round(cpu_s, 2),
        "rows_per_s": round(rows / wall_s), "rows_per_cpu_s": round(rows / cpu_s),
    }  # fmt: skip


def read_cpu_s() -> float:
    """Read the CPU time of this process and of the children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def main() -> None:
    """Measure, and print the figures."""
    with tempfile.TemporaryDirectory() as folder:
        if sys.argv[1] == "--columns":
            path, table = write_columns(Path(folder))
            rows = sys.argv[2:]
        else:
            path, table, *rows = sys.argv[1:]
        print(json.dumps(measure_all(Path(path), Path(table), int(rows[0]) if rows else 20_000), indent=1))


def measure_all(path: Path, table: Path, rows: int) -> dict[str, Any]:
    """Measure the runtime alone, and `score` with one and two processes."""
    bundle = open_bundle(path, threads=1)
    batches = list(iterate_batches(table, bundle))
    in_batches = sum(len(batch.presence) for batch in batches)

    def run_batches() -> int:
        repeats = max(1, rows // in_batches)
        for _ in range(repeats):
            for batch in batches:
                bundle.answer(batch)
        return repeats * in_batches

    figures = {"runtime alone": measure(run_batches)}
    with tempfile.TemporaryDirectory() as folder:
        shards = write_shards(table, rows, Path(folder))
        for processes in (1, 2):
            out = Path(folder) / f"answers-{processes}"

            def run_score(out: Path = out, processes: int = processes) -> int:
                return tailfuse.score(path, shards, out, processes=processes).counts.rows

            figures[f"score, {processes} processes"] = measure(run_score)
    git = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(git, capture_output=True, text=True).stdout
    machine = f"{platform.machine()}, {len(os.sched_getaffinity(0))} cores"
    told: dict[str, Any] = {
        "commit": commit.strip(),
        "machine": machine,
        "model": bundle.manifest.name,
        "shards": N_SHARDS,
    }
    told["load"] = round(os.getloadavg()[0], 1)
    return {**told, "figures": figures}


if __name__ == "__main__":
    main()
