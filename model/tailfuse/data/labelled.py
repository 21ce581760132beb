"""Another table's labelled rows, turned into arrays as a bundle's own training rows were."""

import logging
from pathlib import Path

import numpy as np
import polars as pl
from tailfuse_service.bundle import Manifest

from tailfuse.data.arrays import make_split_arrays
from tailfuse.data.classes import encode_labels, read_labels
from tailfuse.data.labels import find_labelled_rows
from tailfuse.data.split import read_split_column, split_rows
from tailfuse.data.split_arrays import SplitArrays
from tailfuse.errors import TableError
from tailfuse.files.reading import make_reading
from tailfuse.files.sources import digest_table
from tailfuse.files.table import Rows, read_table
from tailfuse.spec.schema import SplitSpec

log = logging.getLogger("tailfuse")


def is_training_table(manifest: Manifest, path: Path) -> bool:
    """Return whether a bundle was trained on this file."""
    return digest_table(path) == manifest.spec.get("table_sha256")


def labelled_part(manifest: Manifest, path: Path, part: str | None = None) -> SplitArrays:
    """The rows of a table that have a label, or those of one part as the bundle's spec splits it.

    Raises TableError.
    """
    table = read_table(path, make_reading(manifest.spec))
    labels = read_labels(table, manifest.label)
    if part is not None:
        merged = labels.replace(manifest.merged_labels)
        rows = rows_of_part(manifest, path, table, merged, part)
    else:
        rows = np.arange(len(table))
        if is_training_table(manifest, path):
            log.warning(
                "these rows include those that the model was trained on; --part test judges the others"
            )
    return label_rows(manifest, table, labels, path.parent, rows, str(path))


def label_rows(
    manifest: Manifest, table: pl.DataFrame, labels: pl.Series, folder: Path, rows: Rows, source: str
) -> SplitArrays:
    """Return those of `rows` that have a label as arrays; `source` names the table in messages.

    Raises TableError.
    """
    labels = labels.replace(manifest.merged_labels)
    rows = find_labelled_rows(labels, rows)
    codes = encode_labels(labels, manifest.class_names, rows)
    labelled = make_split_arrays(table, manifest.modalities, folder, labels=codes, rows=rows)
    if not labelled.presence().any():
        known = ", ".join(manifest.modalities)
        raise TableError(f"{source}: no row has any modality of this model: {known}")
    return labelled


def rows_of_part(manifest: Manifest, path: Path, table: pl.DataFrame, labels: pl.Series, part: str) -> Rows:
    """By the spec's split column, or by its fractions if this is the table that they were drawn from.

    Without val rows in the column of that table, these were drawn from its train rows.
    """
    is_trained_table = is_training_table(manifest, path)
    given = manifest.spec.get("split")
    column = given.get("column") if isinstance(given, dict) else given
    if isinstance(column, str):
        if column not in table.columns:
            raise TableError(
                f"--part: {path} has no column '{column}', by which this model's rows were split"
            )
        parts = read_split_column(table, column)
        if (parts == "val").any() or not is_trained_table:
            rows = np.flatnonzero((parts == part).fill_null(False).to_numpy())
            if not len(rows):
                raise TableError(f"--part: no row of {path} has '{part}' in column '{column}'")
            return rows
    elif not is_trained_table:
        raise TableError(
            f"--part: rows were split by fractions, and {path} is not the table that was trained on"
        )
    split_spec = given if isinstance(given, str) else SplitSpec.model_validate(given)
    split = split_rows(table, labels, split_spec, int(manifest.spec["seed"]))
    rows = {"train": split.train, "val": split.val, "test": split.test}[part]
    if not len(rows):
        raise TableError(f"--part: this model's split has no {part} rows")
    return rows
