"""Another table's labelled rows, turned into arrays as a bundle's own training rows were."""

from pathlib import Path

import numpy as np

from model.data.classes import class_codes, labels_of
from model.data.dataset import part_of
from model.data.part import Part
from model.data.table import read_table
from model.errors import TableError
from service.bundle import Manifest


def labelled_part(manifest: Manifest, path: Path, split: str | None = None) -> Part:
    """The rows of a table; with `split`, those whose split column says so. Raises TableError."""
    table = read_table(path)
    rows = np.arange(len(table))
    if split is not None:
        given = manifest.spec.get("split")
        column = given.get("column") if isinstance(given, dict) else given
        if not isinstance(column, str) or column not in table.columns:
            raise TableError(f"--part: {path} has no split column ({column}) to choose '{split}' by")
        rows = np.flatnonzero((table[column] == split).fill_null(False).to_numpy())
        if not len(rows):
            raise TableError(f"--part: no row of {path} has '{split}' in column '{column}'")
    labels = class_codes(labels_of(table, manifest.label), manifest.class_names, rows)
    return part_of(table, manifest.modalities, path.parent, labels=labels, rows=rows)
