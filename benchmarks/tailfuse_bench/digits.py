"""The quick-start's digits as a dataset of the benchmark: balanced, with a split, and small."""

import io
from importlib.resources import files
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray
from PIL import Image
from tailfuse_service.bundle import atomic_folder

from tailfuse_bench.datasets import table_path

SPLIT = ["train"] * 40 + ["val"] * 10 + ["test"] * 40  # the first rows of each digit


def write_digits(folder: Path) -> None:
    """Write the table of digits into a new folder."""
    with (files("tailfuse.quickstart") / "mfeat.npz").open("rb") as file, np.load(file) as arrays:
        digits = arrays["y"]
        rows = np.concatenate([np.flatnonzero(digits == digit)[: len(SPLIT)] for digit in range(10)])
        columns = {
            f"{family}_{i:02}": arrays[family][rows, i]
            for family in ("fou", "zer", "mor")
            for i in range(arrays[family].shape[1])
        }
        images = [encode_png(pixels) for pixels in arrays["pix"][rows].reshape(-1, 16, 15)]
    table = pl.DataFrame({"label": digits[rows].astype(str), "split": SPLIT * 10, "image": images, **columns})
    with atomic_folder(folder) as target:
        table.write_parquet(table_path(target))


def encode_png(pixels: NDArray[np.uint8]) -> bytes:
    """Encode a grey image of values 0..6 as a PNG file."""
    file = io.BytesIO()
    Image.fromarray(pixels * np.uint8(42)).save(file, "PNG")
    return file.getvalue()
