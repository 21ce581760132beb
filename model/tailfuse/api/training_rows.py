"""Logistic regression on the rows that a bundle was trained on, for the report of other rows."""

from pathlib import Path

import numpy as np
from tailfuse_service.bundle import Manifest

from tailfuse.data.labelled import is_training_table, labelled_part
from tailfuse.data.split_arrays import Dataset, SplitArrays
from tailfuse.errors import UserError
from tailfuse.evaluation.metrics import Counts


def check_training_table(manifest: Manifest, table: Path) -> None:
    """Check that a bundle was trained on this table. Raises UserError."""
    if not table.is_file():
        raise UserError(f"{table}: no such file")
    if not is_training_table(manifest, table):
        raise UserError(f"{table} is not the table that {manifest.name} {manifest.version} was trained on")


def predict_by_logistic(manifest: Manifest, table: Path, rows: SplitArrays) -> Counts:
    """Predict the class of each of `rows`, (N,), by logistic regression on the training rows of `table`.

    It is fitted as in the training's own report. Raises TableError.
    """
    from tailfuse.evaluation.logistic import predict_logistic  # scikit-learn takes a second to import

    train, val = (labelled_part(manifest, table, part) for part in ("train", "val"))
    groups = np.arange(len(train))
    return predict_logistic(Dataset(manifest.classes, manifest.modalities, train, val, rows, groups))
