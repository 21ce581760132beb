"""The quick-start: UCI's handwritten digits as a folder like a user's own: a table, images, a spec."""

import json
import shutil
from importlib.resources import files
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray
from PIL import Image
from tailfuse_service.bundle import atomic_folder

from tailfuse.errors import UserError

IMBALANCE_RATIO, TEST_ROWS, VAL_ROWS = 50, 40, 10  # rows per class before the tail is imposed

SPEC = """\
# Handwritten digits described three ways; the rarest digit has 3 rows to learn from, the commonest 150.
# Data: UCI Multiple Features (R. Duin), CC BY 4.0.
name: digits
table: table.csv
label: digit
split: split                                # a column: train, val, test
modalities:
  image:   {kind: image, column: image, size: [16, 15]}
  fourier: {kind: tabular, columns: "fou_*"}
  shape:   {kind: tabular, columns: ["zer_*", "mor_*"]}
training: {epochs: 100, folds: 3}           # expect about 30 s on 2 cores
report: {rows: all}                         # shows rows in clear: leave it out where data are private
"""


def write_quickstart(folder: str | Path) -> Path:
    """Write table.csv, images/, example requests and spec.yaml into a new folder, and return the spec's path.

    Digits that the imbalance leaves out are not in the table. Raises UserError if something is there.

    >>> tailfuse.write_quickstart("quickstart").name
    'spec.yaml'
    """
    folder = Path(folder)
    if folder.exists():
        raise UserError(f"{folder} is there already; choose a new folder")
    with (files("tailfuse.quickstart") / "mfeat.npz").open("rb") as file, np.load(file) as arrays:
        digits, pixels = arrays["y"], arrays["pix"]
        numbers = {"fou": arrays["fou"], "zer": arrays["zer"], "mor": arrays["mor"]}
    split = long_tailed_split(digits, seed=0)
    names = [f"images/{row:04}.png" for row in range(len(digits))]
    with atomic_folder(folder) as target:
        (target / "images").mkdir()
        for name, part, pixel_rows in zip(names, split, pixels.reshape(-1, 16, 15), strict=True):
            if part:
                Image.fromarray(pixel_rows * np.uint8(42)).save(target / name)  # 0..6 becomes 0..252
        columns = {
            f"{family}_{i:02}": values[:, i]
            for family, values in numbers.items()
            for i in range(values.shape[1])
        }
        table = pl.DataFrame({"digit": digits, "split": split, "image": names, **columns})
        table.drop_nulls("split").write_csv(target / "table.csv")
        (target / "spec.yaml").write_text(SPEC)
        six = next(row for row, digit in enumerate(digits) if digit == 6 and split[row] == "test")
        write_example(target, six, names, columns)
    return folder / "spec.yaml"


def write_example(folder: Path, row: int, names: list[str], columns: dict[str, NDArray[np.float32]]) -> None:
    """Write one row as requests: image.png, fourier.json, shape.json, and the latter two in numbers.json."""
    example = folder / "example"
    example.mkdir()
    shutil.copy(folder / names[row], example / "image.png")
    values = {name: round(float(column[row]), 6) for name, column in columns.items()}
    parts = {
        "fourier": {name: value for name, value in values.items() if name.startswith("fou")},
        "shape": {name: value for name, value in values.items() if not name.startswith("fou")},
    }
    for name, part in parts.items():
        (example / f"{name}.json").write_text(json.dumps(part))
    (example / "numbers.json").write_text(json.dumps({"inputs": parts}))


def long_tailed_split(digits: NDArray[np.int64], *, seed: int) -> list[str | None]:
    """train, val, test or None by row. Test rows are drawn first and stay as they are; train and val are
    thinned to N0 * IR ** (-k / (K - 1)) rows of the k-th class, two at least, in an order of classes
    drawn by the seed."""
    random = np.random.default_rng(seed)
    classes = random.permutation(np.unique(digits))
    split: list[str | None] = [None] * len(digits)
    for k, digit in enumerate(classes):
        rows = random.permutation(np.flatnonzero(digits == digit))
        test, val, train = np.split(rows, [TEST_ROWS, TEST_ROWS + VAL_ROWS])
        share = IMBALANCE_RATIO ** (-k / (len(classes) - 1))
        for name, part, kept in (("test", test, 1.0), ("val", val, share), ("train", train, share)):
            for row in part[: max(2, round(len(part) * kept))]:
                split[row] = name
    return split
