"""Time and memory of turning a table into arrays: python benchmarks/reading.py [ROWS] [--texts].

Twelve columns of decimals, four of whole numbers, four of categories; or a text of 20 words. Prints one line
of JSON. Texts are read by as many processes as cores: `taskset -c 0` before the command says what that saves.
"""

import argparse
import json
import os
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from tailfuse.data.dataset import load_dataset
from tailfuse.spec.schema import load_spec

SPEC = """name: reading
table: table.csv
label: label
modalities:
"""
COLUMNS = '  m: {kind: tabular, columns: ["n*", "c*", "k*"]}\n'
TEXTS = "  m: {kind: text, columns: [text]}\n"
N_WORDS = 20_000


def make_columns(rows: int, random: np.random.Generator) -> dict[str, Any]:
    """Make numbers and categories."""
    words = np.array(["red", "green", "blue light", "dark"])
    columns: dict[str, Any] = {f"n{at}": random.normal(size=rows).round(4) for at in range(12)}
    columns |= {f"c{at}": random.integers(0, 50, rows) for at in range(4)}
    return columns | {f"k{at}": words[random.integers(0, 4, rows)] for at in range(4)}


def make_texts(rows: int, random: np.random.Generator) -> dict[str, Any]:
    """Make texts, most of whose words are frequent ones."""
    words = np.array(["".join(random.choice(list("abcdefghijklmnop"), 7)) for _ in range(N_WORDS)])
    return {"text": [" ".join(words[random.zipf(1.3, 20) % N_WORDS]) for _ in range(rows)]}


def write_table(path: Path, rows: int, *, texts: bool) -> None:
    """Write the table as CSV."""
    import polars as pl

    random = np.random.default_rng(0)
    columns = (make_texts if texts else make_columns)(rows, random)
    labels = np.array(["red", "green", "blue"])[random.integers(0, 3, rows)]
    pl.DataFrame({**columns, "label": labels}).write_csv(path)


def main() -> None:
    """Write the table, read it, and say what that took."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("rows", nargs="?", type=int, default=1_000_000)
    options.add_argument("--texts", action="store_true", help="texts in place of columns")
    given = options.parse_args()
    rows = given.rows
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TAILFUSE_CACHE"] = f"{folder}/cache"  # what was read before is not used
        write_table(Path(folder) / "table.csv", rows, texts=given.texts)
        (Path(folder) / "spec.yaml").write_text(SPEC + (TEXTS if given.texts else COLUMNS))
        before, cpu = time.perf_counter(), time.process_time()
        load_dataset(load_spec(Path(folder) / "spec.yaml"))
        took = {"wall_s": time.perf_counter() - before, "cpu_s": time.process_time() - cpu}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"rows": rows, **{k: round(v, 2) for k, v in took.items()}, "peak_mb": round(peak)}))


if __name__ == "__main__":
    main()
