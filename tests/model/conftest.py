"""A small real table: 24 skin lesions with a picture, a few columns and a note each."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from PIL import Image

from model.dataset import OnProgress, load_dataset
from model.part import Dataset
from model.spec import load_spec

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
