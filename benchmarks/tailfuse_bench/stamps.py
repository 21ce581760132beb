"""Tux Paint's stamps as a dataset of the benchmark: images with English descriptions, folders as classes.

They come from Debian's package tuxpaint-stamps-default (GPL-2), for evaluation; tailfuse does not ship them:

    apt-get download tuxpaint-stamps-default
    dpkg -x tuxpaint-stamps-default_*.deb DATA/stamps
"""

from pathlib import Path

import numpy as np
import polars as pl
from tailfuse.data.split import split_by_fraction
from tailfuse_service.bundle import atomic_folder

from tailfuse_bench.datasets import table_path

PACKAGE_FOLDER = Path("usr/share/tuxpaint/stamps")  # of the unpacked package
MIRROR = "_mirror"  # ends the name of a second image of a stamp
FRACTIONS = {"val": 0.1, "test": 0.2}


def find_stamps(folder: Path) -> Path | None:
    """Return the folder of the stamps in the unpacked package; None if there is none."""
    found = folder / PACKAGE_FOLDER
    return found if found.is_dir() else None


def write_stamps(stamps: Path, folder: Path) -> None:
    """Write the table of the stamps into a new folder.

    The split is stratified, and stamps of one description are in one part.
    """
    images = sorted(stamps.rglob("*.png"))
    labels = pl.Series("label", [image.relative_to(stamps).parts[0] for image in images])
    texts = [read_description(image) for image in images]
    _, groups = np.unique(
        [text.casefold() if text else str(image) for text, image in zip(texts, images, strict=True)],
        return_inverse=True,
    )
    split = np.empty(len(images), object)
    for part, rows in split_by_fraction(labels, np.arange(len(images)), groups, FRACTIONS, seed=0).items():
        split[rows] = part
    table = pl.DataFrame(
        {
            "label": labels,
            "split": split.tolist(),
            "description": texts,
            "image": [image.read_bytes() for image in images],
        },
        schema_overrides={"description": pl.String},
    )
    with atomic_folder(folder) as target:
        table.write_parquet(table_path(target))


def read_description(image: Path) -> str | None:
    """Return the English description of a stamp: the first line of the text beside it. None without one."""
    text = image.with_name(image.stem.removesuffix(MIRROR) + ".txt")
    if not text.is_file():
        return None
    lines = text.read_text(encoding="utf-8", errors="replace").splitlines()
    return lines[0].strip() or None if lines else None
