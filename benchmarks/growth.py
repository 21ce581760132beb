"""Seconds and memory of `tailfuse train` by rows: python benchmarks/growth.py [--rows N,N,…] [--images]

Makes tables of 29 numbers, 10 categories and a text, or with --images of images of 32 x 32 in a column, and
trains on each with the spec's defaults. Of memory the peak is measured by sampling /proc: what is the
processes' own, and what is resident, with the pages of mapped files, which the system takes back when it
needs them. With --cgroup FOLDER, a control group that you have made and given a limit of memory, trainings
run under it: what takes more is killed. Prints a line of JSON for each table.
"""

import argparse
import io
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray
from PIL import Image

N_NUMBERS, N_CATEGORIES, N_CLASSES = 29, 10, 10
WORDS, WORDS_OF_A_CLASS, WORDS_PER_TEXT = 20_000, 200, 20
SIDE = 32
IMBALANCE = 50  # rows of the most frequent class for each of the rarest
SAMPLE_S = 0.1
STATUS = {"RssAnon:": "own", "VmRSS:": "resident"}


def draw_labels(rows: int, random: np.random.Generator) -> NDArray[np.int64]:
    """Draw classes whose frequencies fall geometrically."""
    shares = IMBALANCE ** -np.linspace(0, 1, N_CLASSES)
    return random.choice(N_CLASSES, rows, p=shares / shares.sum())


def make_columns(rows: int, random: np.random.Generator) -> pl.DataFrame:
    """Make numbers, categories and a text, each of which says something of the class."""
    labels = draw_labels(rows, random)
    centres = random.normal(size=(N_CLASSES, N_NUMBERS)) * 0.3
    columns: dict[str, pl.Series | NDArray[np.float32]] = {
        f"number_{at}": (centres[labels, at] + random.normal(size=rows)).astype(np.float32)
        for at in range(N_NUMBERS)
    }
    for at in range(N_CATEGORIES):
        names = pl.Series([f"level {level}" for level in range(20)])
        levels = np.where(random.random(rows) < 0.2, labels, random.integers(0, 20, rows))
        columns[f"category_{at}"] = names[levels]
    words = pl.Series(["".join(random.choice(list("abcdefghijklmnop"), 7)) for _ in range(WORDS)])
    texts = []
    for part in np.array_split(labels, max(1, rows // 10_000)):
        drawn = random.zipf(1.3, (len(part), WORDS_PER_TEXT)) % WORDS
        own = part[:, None] * WORDS_OF_A_CLASS + random.integers(0, WORDS_OF_A_CLASS, drawn.shape)
        drawn = np.where(random.random(drawn.shape) < 0.05, own, drawn)
        joined = words[drawn.ravel()].to_numpy().reshape(drawn.shape)
        texts += [" ".join(row) for row in joined]
    return pl.DataFrame(columns | {"text": texts, "label": [f"class {each}" for each in labels]})


def make_images(rows: int, random: np.random.Generator) -> pl.DataFrame:
    """Make noisy PNGs with a bright square whose place tells the class."""
    labels = draw_labels(rows, random)
    cells = []
    for label in labels:
        pixels = random.integers(0, 120, (SIDE, SIDE, 3), np.uint8)
        top, left = 6 * (label // 4), 7 * (label % 4)
        pixels[top : top + 8, left : left + 8] += 100
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "png", compress_level=1)
        cells.append(file.getvalue())
    return pl.DataFrame({"image": cells, "label": [f"class {each}" for each in labels]})


def write_spec(folder: Path, table: pl.DataFrame) -> Path:
    """Write the table and a spec with nothing but its columns."""
    table.write_parquet(folder / "table.parquet")
    modalities = (
        {"image": {"kind": "image", "column": "image", "size": [SIDE, SIDE]}}
        if "image" in table.columns
        else {
            "columns": {"kind": "tabular", "columns": ["number_*", "category_*"]},
            "text": {"kind": "text", "columns": "text"},
        }
    )
    spec = folder / "spec.yaml"
    document = {"name": "growth", "table": "table.parquet", "label": "label", "modalities": modalities}
    spec.write_text(json.dumps(document))  # JSON is YAML
    return spec


def read_memory(process: int) -> dict[str, int]:
    """Read the memory of a process and its descendants, in bytes."""
    found = dict.fromkeys(STATUS.values(), 0)
    try:
        for line in Path(f"/proc/{process}/status").read_text().splitlines():
            key, _, rest = line.partition("\t")
            if key in STATUS:
                found[STATUS[key]] += int(rest.split()[0]) * 1024
        children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    except OSError:  # it has ended
        return found
    for child in children:
        for key, value in read_memory(int(child)).items():
            found[key] += value
    return found


def read_limit(cgroup: Path) -> int:
    """Read the limit of a control group, of version 2 or 1, in bytes. Raises OSError, ValueError."""
    limit = cgroup / "memory.max"
    return int((limit if limit.exists() else cgroup / "memory.limit_in_bytes").read_text())


def train(spec: Path, cgroup: Path | None) -> dict[str, float]:
    """Train, and return seconds and the peaks of memory."""
    environment = os.environ | {"TAILFUSE_CACHE": str(spec.parent / "cache")}
    command = [sys.executable, "-m", "tailfuse", "train", str(spec), "--out", str(spec.parent / "run")]
    if cgroup is not None:  # the shell joins it, and becomes the training
        command = ["sh", "-c", 'echo $$ > "$0" && exec "$@"', str(cgroup / "cgroup.procs"), *command]
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    peak = dict.fromkeys(STATUS.values(), 0)
    while process.poll() is None:
        for key, value in read_memory(process.pid).items():
            peak[key] = max(peak[key], value)
        time.sleep(SAMPLE_S)
    if process.returncode:
        raise SystemExit(process.returncode)
    wall_s, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    metrics = json.loads((spec.parent / "run/bundle/manifest.json").read_text())["metrics"]
    return {
        "wall_s": round(wall_s, 1), "cpu_s": round(cpu_s, 1),
        **{f"{key}_gib": round(value / 2**30, 2) for key, value in peak.items()},
        "balanced_accuracy": round(next(iter(metrics.values()))["balanced_accuracy"], 3),
    }  # fmt: skip


def main() -> None:
    """Measure each size in turn."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument(
        "--rows", default="10000,100000,1000000", help="numbers of rows, with commas between"
    )
    options.add_argument("--images", action="store_true", help="images in place of columns and a text")
    options.add_argument("--folder", type=Path, help="write tables and runs here meanwhile")
    options.add_argument("--cgroup", type=Path, help="the control group to train in")
    given = options.parse_args()
    make = make_images if given.images else make_columns
    limit = {} if given.cgroup is None else {"limit_gib": read_limit(given.cgroup) / 2**30}
    for rows in map(int, given.rows.split(",")):
        with tempfile.TemporaryDirectory(dir=given.folder, prefix=f"{rows}-") as folder:
            spec = write_spec(Path(folder), make(rows, np.random.default_rng(rows)))
            print(json.dumps({"rows": rows, **limit, **train(spec, given.cgroup)}), flush=True)


if __name__ == "__main__":
    main()
