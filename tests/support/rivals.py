"""A problem of raw texts and numbers for rivals, and an environment that is this one."""

import sys
from pathlib import Path

import numpy as np
import polars as pl
from tailfuse_bench.datasets import BenchDataset, table_path, tabular_modality, text_modality
from tailfuse_bench.experiment import load_rival_rows
from tailfuse_bench.methods import OURS
from tailfuse_bench.rivals.environment import Environment
from tailfuse_bench.rivals.evaluate import RivalRows, make_problem
from tailfuse_bench.rivals.runner.problem import Problem
from tailfuse_bench.tasks import Experiment, Task

TFIDF, LATE_TFIDF = "TF-IDF logistic regression", "TF-IDF late logistic regression"
WHOLE = ("note", "facts")
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


def make_task(notes: Path, out: Path, *methods: str, missing: int = 0, **more: Environment) -> Task:
    """Make a task of the notes."""
    return Task(Experiment(NOTES.name, 0, 0, missing), methods, notes, out, **more)


def load(notes: Path, out: Path, missing: int = 0) -> RivalRows:
    """Read the rows of the notes as a rival gets them."""
    task = make_task(notes, out, OURS, missing=missing)
    return load_rival_rows(task.spec(OURS).model_dump_json(), task.experiment)


def build_problem(notes: Path, out: Path, rival: str = TFIDF, missing: int = 0) -> Problem:
    """Make the problem that a rival is given."""
    rows = load(notes, out, missing)
    return make_problem(rows, Experiment(NOTES.name, 0, 0, missing).make_result(rival), 60, missing)
