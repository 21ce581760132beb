"""Shoulder exercises by a smart watch as a dataset of the benchmark: its two sensors are the modalities.

They are those of the Python package seglearn (BSD; Burns et al. 2018, arXiv 1802.01489), for evaluation;
tailfuse does not ship them. The package is unpacked, and need not be installed:

    pip download --no-deps seglearn==1.2.5
    python -m zipfile -e seglearn-1.2.5-py3-none-any.whl DATA/watch
"""

from pathlib import Path

import numpy as np
import polars as pl
from tailfuse.errors import RunError
from tailfuse_service.bundle import atomic_folder, sha256

from tailfuse_bench.datasets import table_path

FILE = Path("seglearn/data/watch_dataset.npy")  # of the unpacked package
SHA256 = "eb122f23cdf06ef6bd6c6c5312958ec5cf9d038e2e6d457b8081662c75a42537"
STEPS = 100  # of a window: two seconds
VAL_SUBJECT, TEST_SUBJECTS = 7, (8, 9, 10)  # of ten people; nobody is in two parts


def find_watch(folder: Path) -> Path | None:
    """Return the file of the recordings in the unpacked package; None if there is none."""
    found = folder / FILE
    return found if found.is_file() else None


def write_watch(file: Path, folder: Path) -> None:
    """Write the table of the windows of all recordings into a new folder. Raises RunError."""
    if sha256(file) != SHA256:  # a pickle can run code when it is read
        raise RunError(f"{file} is not the file of seglearn 1.2.5; its sha256 would be {SHA256}")
    recordings = np.load(file, allow_pickle=True).item()
    rows = []
    for steps, exercise, subject in zip(
        recordings["X"], recordings["y"], recordings["subject"].tolist(), strict=True
    ):
        part = "test" if subject in TEST_SUBJECTS else "val" if subject == VAL_SUBJECT else "train"
        for start in range(0, len(steps) - STEPS + 1, STEPS):
            window = steps[start : start + STEPS].astype(np.float32)
            rows.append(
                {
                    "label": recordings["y_labels"][exercise],
                    "split": part,
                    "subject": str(subject),
                    "acceleration": window[:, :3].tolist(),
                    "rotation": window[:, 3:].tolist(),
                }
            )
    with atomic_folder(folder) as target:
        pl.DataFrame(rows).write_parquet(table_path(target))
