"""A problem of raw texts and numbers for rivals, and an environment that is this one."""

import sys
from pathlib import Path

import numpy as np
import polars as pl
from tailfuse_bench.datasets import BenchDataset, table_path, tabular_modality, text_modality

WORDS = {"pets": ("cat", "dog", "fur"), "tools": ("saw", "nail", "drill"), "food": ("bread", "soup", "salt")}
SIZES = {"pets": 60, "tools": 30, "food": 15}
NOTES = BenchDataset(
    "notes",
    {"note": text_modality("note"), "facts": tabular_modality("fact_*")},
    max_ir=0,
    training={"epochs": 2, "folds": 2},
)


def write_notes(folder: Path) -> Path:
    """Write a table of notes about three classes: half of a text's words are of the class."""
    random = np.random.default_rng(0)
    rows = []
    for at, (label, words) in enumerate(WORDS.items()):
        for part, factor in (("train", 1.0), ("val", 0.4), ("test", 0.4)):
            for _ in range(int(factor * SIZES[label])):
                text = [*random.choice(words, 3), *random.choice(["the", "a", "of", "good", "old"], 3)]
                facts = random.normal(size=3) + np.eye(3)[at]
                rows.append(
                    {"label": label, "split": part, "note": " ".join(random.permutation(text).tolist())}
                    | {f"fact_{i}": float(value) for i, value in enumerate(facts)}
                )
    folder.mkdir(parents=True)
    pl.DataFrame(rows).write_parquet(table_path(folder))
    return folder


def write_environment(folder: Path, script: str | None = None) -> Path:
    """Make a folder whose Python is this one, or a shell script."""
    python = folder / "bin" / "python"
    python.parent.mkdir(parents=True)
    run_this = f"exec '{sys.executable}' \"$@\""
    python.write_text(f"#!/bin/sh\n{script or run_this}\n")
    python.chmod(0o755)
    return folder
