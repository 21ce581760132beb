"""The sets of the protocol as documents of a spec; their tables lie in a folder each."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Document = dict[str, Any]

HEADLINE_IR = 50  # where a set that cannot be thinned as much stands for itself
OWN_TAIL = 0  # the imbalance ratio of a set that is not thinned


@dataclass(frozen=True, slots=True)
class BenchSet:
    """A table with a `label` and a `split`, its modalities, and the largest imbalance ratio it bears."""

    name: str
    modalities: Document
    largest_ir: int = 1000
    training: Document = field(default_factory=dict)

    def document(self, folder: Path) -> Document:
        """The spec, if the table lies in `folder`."""
        return {
            "name": self.name,
            "table": str(table_in(folder)),
            "label": "label",
            "split": "split",
            "modalities": self.modalities,
            "training": self.training,
        }

    def tails(self, ratios: list[int]) -> list[int]:
        """Of the imbalance ratios those that the set bears; for the headline's otherwise its own tail."""
        borne = (ir if ir <= self.largest_ir else OWN_TAIL for ir in ratios if self.stands(ir))
        return sorted(set(borne))

    def stands(self, ir: int) -> bool:
        return ir <= self.largest_ir or ir == HEADLINE_IR


def table_in(folder: Path) -> Path:
    """Where a set's table lies in its folder."""
    return folder / "table.parquet"


def tabular(columns: str | list[str]) -> Document:
    return {"kind": "tabular", "columns": columns}


def picture(size: int | list[int], *, flips: bool = False) -> Document:
    """Features of a pretrained encoder that is not trained: they are computed once."""
    return {
        "kind": "image",
        "column": "image",
        "size": size,
        "encoder": "efficientnet_lite0",
        "trained": "none",
        "flips": flips,
    }


EACH = (
    BenchSet("cub", {"image": tabular("image_*"), "text": tabular("text_*")}),
    BenchSet(
        "ham10000",
        {"image": picture([150, 200]), "clinical": tabular(["age", "sex", "localization"])},
        largest_ir=OWN_TAIL,
        training={"epochs": 12},  # of 55 steps each; on validation rows more are no better
    ),
    BenchSet(
        "handwritten", {name: tabular(f"{name}_*") for name in ("pix", "fou", "fac", "zer", "kar", "mor")}
    ),
    BenchSet(
        "leaf99",
        {"image": picture(160, flips=True)}
        | {name: tabular(f"{name}[0-9]*") for name in ("margin", "shape", "texture")},
    ),
    BenchSet("pie", {name: tabular(f"{name}_*") for name in ("v1", "v2", "v3")}),
    BenchSet("rosmap", {name: tabular(f"{name}_*") for name in ("mrna", "meth", "mirna")}, largest_ir=10),
    BenchSet("scene15", {name: tabular(f"{name}_*") for name in ("gist", "phog", "lbp")}),
    BenchSet("wiki", {"image": tabular("image_*"), "text": tabular("text_*")}),
)
# What is shipped: the quick-start's digits, few rows and few epochs, to try the command with.
DIGITS = BenchSet(
    "digits",
    {
        "image": {"kind": "image", "column": "image", "size": [16, 15]},
        "fourier": tabular("fou_*"),
        "shape": tabular(["zer_*", "mor_*"]),
    },
    training={"epochs": 60, "folds": 2},
)
SETS = {each.name: each for each in (*EACH, DIGITS)}
