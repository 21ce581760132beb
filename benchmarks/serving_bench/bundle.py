"""The bundle to serve: a 64x64 image and eight columns of synthetic data, trained briefly."""

import csv
import subprocess
import sys
from pathlib import Path

import numpy as np

from serving_bench.workloads import IMAGE, SMALL, TABULAR, make_image

N_CLASSES, N_ROWS = 7, 420
SITES = ("back", "face", "scalp", "chest", "foot", "hand")
SPEC = f"""\
name: bench
table: table.csv
label: label
split: {{val: 0.15, test: 0.15}}
modalities:
  {IMAGE}: {{kind: image, column: image, size: {SMALL[0]}}}
  {TABULAR}: {{kind: tabular, columns: [age, weight, pulse, pressure, size, smoker, sex, site]}}
training: {{epochs: 4, folds: 2}}  # only time is measured, so weights may be poor
"""


def prepare_bundle(folder: Path) -> Path:
    """Return the bundle's folder; train it first if it does not exist. Needs the extra `train`."""
    bundle = folder / "run" / "bundle"
    if not (bundle / "manifest.json").exists():
        print(f"Training the bundle to serve, once: {bundle}", file=sys.stderr)
        folder.mkdir(parents=True, exist_ok=True)
        write_table(folder)
        (folder / "spec.yaml").write_text(SPEC)
        command = [sys.executable, "-m", "tailfuse", "train", str(folder / "spec.yaml")]
        subprocess.run([*command, "--out", str(folder / "run")], check=True, stdout=sys.stderr)
    return bundle


def write_table(folder: Path) -> None:
    """Write table.csv and its images. The class shifts each column a little."""
    random = np.random.default_rng(0)
    (folder / "images").mkdir(exist_ok=True)
    with (folder / "table.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(
            ["label", "image", "age", "weight", "pulse", "pressure", "size", "smoker", "sex", "site"]
        )
        for at in range(N_ROWS):
            label = at % N_CLASSES
            name = f"images/{at:03}.jpg"
            (folder / name).write_bytes(make_image(SMALL, random))
            numbers = random.normal((50, 70, 75, 120, 6), (15, 12, 9, 14, 2)) * (1 + label / 50)
            smoker, sex = random.choice(["true", "false"]), random.choice(["female", "male"])
            site = SITES[(label + random.integers(3)) % len(SITES)]
            writer.writerow([f"class-{label}", name, *numbers.round(2), smoker, sex, site])
