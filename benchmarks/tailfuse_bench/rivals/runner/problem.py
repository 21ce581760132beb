"""A classification problem and its answers as files: the bench writes one, a rival answers the other.

Letters: N rows, F features of a modality, C classes.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

PROBLEM, ANSWERS, COSTS = "problem.json", "answers.npz", "costs.json"
PARTS = ("train", "val", "test")

Floats = NDArray[np.floating]
Index = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of every modality; a row without a modality has NaN for its features and None for its text."""

    features: dict[str, NDArray[np.float32]]  # (N, F) by modality
    texts: dict[str, list[str | None]]  # N texts of each modality of raw text
    labels: Index  # (N,); empty for test rows

    def __len__(self) -> int:
        return len(next(iter(self.features.values())))

    def take(self, index: Index) -> "Rows":
        """Return the rows of an index."""
        return Rows(
            {name: each[index] for name, each in self.features.items()},
            {name: [each[at] for at in index] for name, each in self.texts.items()},
            self.labels[index] if len(self.labels) else self.labels,
        )

    def only(self, modalities: Sequence[str]) -> "Rows":
        """Return the rows with all other modalities taken away."""
        return replace(
            self,
            features={
                name: each if name in modalities else np.full_like(each, np.nan)
                for name, each in self.features.items()
            },
            texts={
                name: each if name in modalities else [None] * len(each) for name, each in self.texts.items()
            },
        )

    def presence(self, modality: str) -> NDArray[np.bool_]:
        """Return which rows have a modality: (N,)"""
        return np.asarray(~np.isnan(self.features[modality]).all(axis=1), np.bool_)


class Question(NamedTuple):
    """The test rows to answer, and the modalities to answer them from."""

    rows: Index
    modalities: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Problem:
    """The inputs of a rival. `embeddings` names the modalities whose features come from an encoder."""

    rival: str
    seed: int
    seconds: int  # for training; a rival without a limit of its own may take longer
    n_classes: int
    embeddings: tuple[str, ...]
    train: Rows
    val: Rows
    test: Rows  # without labels
    questions: tuple[Question, ...]


class Costs(NamedTuple):
    """The costs of a rival: time of training, CPU time of one answer, and its files on disk."""

    wall_seconds: float  # of training
    train_seconds: float  # of the processor
    predict_microseconds: float
    size_bytes: int
    parameters: int | None


def write_problem(folder: Path, problem: Problem) -> None:
    """Write a problem into a folder."""
    for part in PARTS:
        rows: Rows = getattr(problem, part)
        arrays: dict[str, Any] = {f"features_{name}": each for name, each in rows.features.items()}
        np.savez(folder / f"{part}.npz", labels=rows.labels, **arrays)
        (folder / f"{part}.json").write_text(json.dumps(rows.texts))
    described = {
        "rival": problem.rival,
        "seed": problem.seed,
        "seconds": problem.seconds,
        "n_classes": problem.n_classes,
        "embeddings": problem.embeddings,
        "questions": [(each.rows.tolist(), each.modalities) for each in problem.questions],
    }
    (folder / PROBLEM).write_text(json.dumps(described))


def read_problem(folder: Path) -> Problem:
    """Read what write_problem wrote."""
    described = json.loads((folder / PROBLEM).read_text())
    described["embeddings"] = tuple(described["embeddings"])
    described["questions"] = tuple(
        Question(np.array(rows, np.int64), tuple(modalities)) for rows, modalities in described["questions"]
    )
    parts: dict[str, Any] = {part: read_rows(folder, part) for part in PARTS}
    return Problem(**described, **parts)


def read_rows(folder: Path, part: str) -> Rows:
    """Read the rows of one part."""
    with np.load(folder / f"{part}.npz") as arrays:
        features = {
            name.removeprefix("features_"): arrays[name]
            for name in arrays.files
            if name.startswith("features_")
        }
        return Rows(features, json.loads((folder / f"{part}.json").read_text()), arrays["labels"])


def write_answers(folder: Path, answers: Iterable[Floats], costs: Costs) -> None:
    """Write the probabilities for each question, (N, C), and the costs."""
    arrays: dict[str, Any] = {f"{at}": each.astype(np.float64) for at, each in enumerate(answers)}
    np.savez(folder / ANSWERS, **arrays)
    (folder / COSTS).write_text(json.dumps(costs._asdict()))


def read_answers(folder: Path) -> tuple[list[Floats], Costs]:
    """Read what write_answers wrote."""
    with np.load(folder / ANSWERS) as arrays:
        answers: list[Floats] = [arrays[f"{at}"] for at in range(len(arrays.files))]
    return answers, Costs(**json.loads((folder / COSTS).read_text()))
