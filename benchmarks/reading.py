"""Time and memory of turning a table of ROWS x 20 into arrays: python benchmarks/reading.py [ROWS].

Twelve columns of decimals, four of whole numbers, four of categories. Prints one line of JSON.
"""

import json
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from tailfuse.data.dataset import load_dataset
from tailfuse.spec.schema import load_spec

SPEC = """name: reading
table: table.csv
label: label
modalities:
  m: {kind: tabular, columns: ["n*", "c*", "k*"]}
"""


def write_table(path: Path, rows: int) -> None:
    """Write the table as CSV."""
    import polars as pl

    random = np.random.default_rng(0)
    words = np.array(["red", "green", "blue light", "dark"])
    columns = {f"n{at}": random.normal(size=rows).round(4) for at in range(12)}
    columns |= {f"c{at}": random.integers(0, 50, rows) for at in range(4)}
    columns |= {f"k{at}": words[random.integers(0, 4, rows)] for at in range(4)}
    pl.DataFrame({**columns, "label": words[random.integers(0, 3, rows)]}).write_csv(path)


def main() -> None:
    """Write the table, read it, and say what that took."""
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    with tempfile.TemporaryDirectory() as folder:
        write_table(Path(folder) / "table.csv", rows)
        (Path(folder) / "spec.yaml").write_text(SPEC)
        before, cpu = time.perf_counter(), time.process_time()
        load_dataset(load_spec(Path(folder) / "spec.yaml"))
        took = {"wall_s": time.perf_counter() - before, "cpu_s": time.process_time() - cpu}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"rows": rows, **{k: round(v, 2) for k, v in took.items()}, "peak_mb": round(peak)}))


if __name__ == "__main__":
    main()
