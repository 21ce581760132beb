"""Two small tables with a picture, a few columns and a note in each row: one to read, one to train on."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from PIL import Image
from tailfuse.data.arrays import OnProgress
from tailfuse.data.dataset import load_dataset
from tailfuse.data.split_arrays import Dataset
from tailfuse.network.build import AnyNetwork, build_network
from tailfuse.spec.schema import Spec, load_spec
from tailfuse.training import checkpoint
from tailfuse.training.hardware import Hardware
from tailfuse.training.remove_run import BUNDLE, TRAINED
from tailfuse.training.train import Listener, train

SPEC = """\
name: lesions
table: table.csv
label: label
split: split
modalities:
  image: {kind: image, column: image, size: [12, 16]}
  clinical:
    kind: tabular
    columns: [age, sex, smoker]
  notes: {kind: text, columns: note}
"""


@dataclass
class Lesions:
    """Rows to change, and a spec; `load` writes both and loads them."""

    folder: Path
    rows: list[dict[str, Any]]
    spec: str = SPEC
    table: str = "table.csv"

    def column(self, name: str, values: list[Any]) -> None:
        for row, value in zip(self.rows, values, strict=True):
            row[name] = value

    def write(self) -> Path:
        frame = pl.DataFrame(self.rows, infer_schema_length=None)
        if self.table.endswith(".csv"):
            frame.write_csv(self.folder / self.table)
        else:
            frame.write_parquet(self.folder / self.table)
        path = self.folder / "spec.yaml"
        path.write_text(self.spec, "utf-8")
        return path

    def load(self, *overrides: str, on_progress: OnProgress | None = None) -> Dataset:
        spec = load_spec(self.write(), [f"table={self.table}", *overrides])
        return load_dataset(spec, on_progress)


@pytest.fixture
def lesions(tmp_path: Path) -> Lesions:
    """12 nv, 8 mel, 4 df; half of each in train, a quarter each in val and test."""
    (tmp_path / "images").mkdir()
    labels = ["nv"] * 12 + ["mel"] * 8 + ["df"] * 4
    rows = []
    for number, label in enumerate(labels):
        name = f"images/{number}.png"
        colour = {"nv": (200, 40, 40), "mel": (40, 200, 40), "df": (40, 40, 200)}[label]
        Image.new("RGB", (20, 15), colour).save(tmp_path / name)
        rows.append(
            {
                "lesion_id": f"L{number // 2}",
                "label": label,
                "split": ("train", "test", "train", "val")[number % 4],
                "image": name,
                "age": 20 + number,
                "sex": ("male", "female", "female")[number % 3],
                "smoker": number % 2 == 0,
                "note": f"spot number {number} on the {('back', 'arm')[number % 2]}",
            }
        )
    return Lesions(tmp_path, rows)


LEAVES = """\
name: leaves
table: table.csv
label: label
split: split
modalities:
  picture: {kind: image, column: picture, size: [10, 8]}
  veins: {kind: tabular, columns: [length, angle, side]}
  note: {kind: text, columns: note, buckets: 64}
network: {width: 16}
training: {epochs: 6, batch_size: 32, folds: 2}
seed: 3
"""
COLOURS = {"oak": (200, 60, 60), "elm": (60, 200, 60), "ash": (60, 60, 200)}
SILENT = Listener(lambda *_: None, lambda *_: None, lambda _: None)


def write_leaves(folder: Path, spec: str = LEAVES) -> Path:
    """120 leaves of three kinds, the rarest with 8. Modalities are missing at times, values of one too."""
    random = np.random.default_rng(0)
    rows = []
    for number, label in enumerate(random.permutation(["oak"] * 80 + ["elm"] * 32 + ["ash"] * 8).tolist()):
        (folder / "pictures").mkdir(parents=True, exist_ok=True)
        kind, has = list(COLOURS).index(label), random.random(5) > 0.2
        has[number % 3] = True  # one modality at least
        pixels = np.clip(random.normal(COLOURS[label], 40, (12, 9, 3)), 0, 255).astype(np.uint8)
        name = f"pictures/{number}.png"
        Image.fromarray(pixels).save(folder / name)
        some = has[1] and has[3]
        rows.append(
            {
                "tree": f"T{number // 2}",
                "label": label,
                "split": ("train", "train", "val", "train", "test")[number % 5],
                "picture": name if has[0] else None,
                "length": round(random.normal(kind, 0.7), 3) if has[1] else None,
                "angle": round(random.normal(-kind, 0.7), 3) if some else None,
                "side": ("left", "right")[number % 2] if some else None,
                "note": f"{('round', 'pointed', 'long')[kind]} leaf {number % 7}" if has[2] else None,
            }
        )
    pl.DataFrame(rows).write_csv(folder / "table.csv")
    path = folder / "spec.yaml"
    path.write_text(spec, "utf-8")
    return path


@dataclass(frozen=True)
class Trained:
    """A run that has ended."""

    spec: Spec
    run: Path
    dataset: Dataset
    network: AnyNetwork

    @property
    def bundle(self) -> Path:
        return self.run / BUNDLE


def trained_on(path: Path, run: Path, *overrides: str) -> Trained:
    """Train on a spec, and read the network back."""
    spec = load_spec(path, overrides)
    train(spec, run, Hardware("cpu"), SILENT)
    dataset = load_dataset(spec)
    network = build_network(spec, dataset)
    network.load_state_dict(checkpoint.load(run / TRAINED) or {})
    return Trained(spec, run, dataset, network.eval())


@pytest.fixture(scope="session")
def leaves_in() -> Callable[..., Path]:
    """`leaves_in(folder, spec)` writes the leaves into a folder; the path of the spec."""
    return write_leaves


@pytest.fixture(scope="session")
def trained_by() -> Callable[..., Trained]:
    """`trained_by(spec, run, *overrides)` trains on a spec, and reads the network back."""
    return trained_on


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A tiny network of three kinds of modality, trained once for all tests that only look at it."""
    folder = tmp_path_factory.mktemp("leaves")
    return trained_on(write_leaves(folder), folder / "run")
