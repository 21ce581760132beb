"""The datasets of the benchmark as documents of a spec; each is in a folder of its name.

A folder of another name is a dataset too if it has a spec: one of the user's own.
"""

from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from tailfuse.errors import UserError

Document = dict[str, Any]

# The datasets that are written from what their sources distribute.
STAMPS, SPOKEN_DIGITS, WATCH = "stamps", "spoken_digits", "watch"

SPEC = "spec.yaml"  # in the folder of a dataset of the user's own

HEADLINE_IR = 50  # a dataset that cannot be thinned this far keeps its class frequencies
ORIGINAL_IR = 0  # stands for the imbalance ratio of a dataset that is not thinned


@dataclass(frozen=True, slots=True)
class BenchDataset:
    """A table with a `label` and a `split`, its modalities, and the largest imbalance ratio it supports.

    Rows with the same value in the column `group`, if there is one, are in one part of the split. `own` is
    the whole document of a dataset of the user's own.
    """

    name: str
    modalities: Document
    max_ir: int = 1000
    group: str | None = None
    training: Document = field(default_factory=dict)
    own: Document | None = None

    def document(self, folder: Path) -> Document:
        """Return the spec for a table in `folder`."""
        if self.own is not None:
            return dict(self.own)
        return {
            "name": self.name,
            "table": str(table_path(folder)),
            "label": "label",
            "split": {"column": "split", "group": self.group} if self.group else "split",
            "modalities": self.modalities,
            "training": self.training,
        }

    def select_ratios(self, ratios: list[int]) -> list[int]:
        """Return the ratios that the dataset supports; ORIGINAL_IR replaces a headline ratio too large."""
        supported = (ir if ir <= self.max_ir else ORIGINAL_IR for ir in ratios if self.supports(ir))
        return sorted(set(supported))

    @property
    def has_text(self) -> bool:
        """Return whether a modality is raw text."""
        return any(each["kind"] == "text" for each in self.modalities.values())

    def supports(self, ir: int) -> bool:
        """Return whether the dataset can have this imbalance ratio."""
        return ir <= self.max_ir or ir == HEADLINE_IR


def table_path(folder: Path) -> Path:
    """Return the path of a dataset's table in its folder."""
    return folder / "table.parquet"


def tabular_modality(columns: str | list[str]) -> Document:
    """Return the spec of a tabular modality."""
    return {"kind": "tabular", "columns": columns}


def text_modality(columns: str | list[str]) -> Document:
    """Return the spec of a modality of raw text."""
    return {"kind": "text", "columns": columns}


def series_modality(column: str, length: int) -> Document:
    """Return the spec of a time series modality."""
    return {"kind": "series", "column": column, "length": length}


def image_modality(size: int | list[int], *, flips: bool = False) -> Document:
    """Return an image modality with a frozen pretrained encoder: its features are computed once."""
    return {
        "kind": "image",
        "column": "image",
        "size": size,
        "encoder": "efficientnet_lite0",
        "trained": "none",
        "flips": flips,
    }


ALL_DATASETS = (
    BenchDataset("cub", {"image": tabular_modality("image_*"), "text": tabular_modality("text_*")}),
    BenchDataset(
        "ham10000",
        {"image": image_modality([150, 200]), "clinical": tabular_modality(["age", "sex", "localization"])},
        max_ir=ORIGINAL_IR,
        # Epochs of 55 steps each; more do not improve validation loss. The folds of the published results.
        training={"epochs": 12, "folds": 4},
    ),
    BenchDataset(
        "handwritten",
        {name: tabular_modality(f"{name}_*") for name in ("pix", "fou", "fac", "zer", "kar", "mor")},
    ),
    BenchDataset(
        "leaf99",
        {"image": image_modality(160, flips=True)}
        | {name: tabular_modality(f"{name}[0-9]*") for name in ("margin", "shape", "texture")},
    ),
    BenchDataset("pie", {name: tabular_modality(f"{name}_*") for name in ("v1", "v2", "v3")}),
    BenchDataset(
        "rosmap", {name: tabular_modality(f"{name}_*") for name in ("mrna", "meth", "mirna")}, max_ir=10
    ),
    BenchDataset("scene15", {name: tabular_modality(f"{name}_*") for name in ("gist", "phog", "lbp")}),
    # One of 150 recordings is longer and is averaged down; the others keep every sample.
    BenchDataset(SPOKEN_DIGITS, {"sound": series_modality("sound", 8000)}, max_ir=100),
    BenchDataset(
        STAMPS,
        {"image": image_modality(160), "description": text_modality("description")},
        max_ir=ORIGINAL_IR,
    ),
    BenchDataset(
        WATCH,
        {name: series_modality(name, 100) for name in ("acceleration", "rotation")},
        max_ir=50,
        group="subject",
    ),
    BenchDataset("wiki", {"image": tabular_modality("image_*"), "text": tabular_modality("text_*")}),
    BenchDataset(
        "womens_clothing",
        {
            "review": text_modality(["Title", "Review Text"]),
            "facts": tabular_modality(
                ["Age", "Rating", "Recommended IND", "Positive Feedback Count", "Division Name"]
            ),
        },
        max_ir=ORIGINAL_IR,
    ),
)
# The digits of the quick-start are shipped: few rows and few epochs, to try the command.
DIGITS = BenchDataset(
    "digits",
    {
        "image": {"kind": "image", "column": "image", "size": [16, 15]},
        "fourier": tabular_modality("fou_*"),
        "shape": tabular_modality(["zer_*", "mor_*"]),
    },
    training={"epochs": 60, "folds": 2},
)
DATASETS = {each.name: each for each in (*ALL_DATASETS, DIGITS)}


def find_dataset(name: str, folder: Path) -> BenchDataset:
    """Return the dataset of this name: one of DATASETS, or the user's own in `folder`. Raises UserError."""
    return DATASETS[name] if name in DATASETS else read_own(folder)


def is_own(folder: Path) -> bool:
    """Return whether a folder holds a dataset of the user's own."""
    return folder.name not in DATASETS and (folder / SPEC).is_file()


@cache
def read_own(folder: Path) -> BenchDataset:
    """Return the dataset that the spec in a folder describes. It keeps its class frequencies.

    Raises UserError if the spec is invalid, or its table is not a file.
    """
    from tailfuse.spec.schema import load_spec

    spec = load_spec(folder / SPEC)
    if not spec.table.is_file():
        why = "is a folder; the bench needs one file" if spec.table.is_dir() else "no such file"
        raise UserError(f"{folder / SPEC}: table: {spec.table}: {why}")
    document = spec.model_dump(mode="json", exclude_unset=True)
    return BenchDataset(folder.name, document["modalities"], max_ir=ORIGINAL_IR, own=document)


def find_table(name: str, folder: Path) -> Path:
    """Return the table of the dataset of this name in `folder`."""
    return Path(find_dataset(name, folder).document(folder)["table"])
