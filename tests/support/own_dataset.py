"""A dataset of a user: a table of parts and its spec."""

from pathlib import Path

import polars as pl

PARTS_SPEC = """\
name: anything
table: rows.csv
label: kind
split: {val: 0.2, test: 0.2}
modalities:
  size: {kind: tabular, columns: [width, height]}
  words: {kind: text, columns: note}
training: {epochs: 3}
"""


def write_parts(folder: Path) -> None:
    """Write a table of three classes, told by the width and by a word, and its spec."""
    folder.mkdir(parents=True)
    kinds = ["bolt"] * 40 + ["nut"] * 20 + ["washer"] * 10
    pl.DataFrame(
        {
            "kind": kinds,
            "width": [len(kind) + at % 7 / 10 for at, kind in enumerate(kinds)],
            "height": [at % 5 for at in range(len(kinds))],
            "note": [f"a {kind} of lot {at}" for at, kind in enumerate(kinds)],
        }
    ).write_csv(folder / "rows.csv")
    (folder / "spec.yaml").write_text(PARTS_SPEC)
