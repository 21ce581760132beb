"""Classes: their names and order, their training rows and shots, and what a table's labels may be."""

import re
from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray
from tailfuse_service.bundle.manifest import ClassInfo, Shot
from tailfuse_service.modalities.tabular.spelling import KnownNames

from tailfuse.errors import TableError
from tailfuse.files.cells import type_cells
from tailfuse.files.table import Rows
from tailfuse.spelling import did_you_mean

NUMBER = re.compile(r"-?\d+(\.\d+)?", re.ASCII)
DIGITS = re.compile(r"(\d+)", re.ASCII)
MAX_LISTED = 50  # names in one message


def read_labels(table: pl.DataFrame, column: str) -> pl.Series:
    """Return the label of every row as a string without spaces around it, or null. Raises TableError."""
    if column not in table.columns:
        raise TableError(f"label: the table has no column '{column}'{did_you_mean(column, table.columns)}")
    labels = type_cells(table[column], "category", f"label, column '{column}'", np.arange(len(table)))
    return labels.str.strip_chars().replace("", None)


def encode_labels(labels: pl.Series, classes: Sequence[str], rows: Rows) -> NDArray[np.int64]:
    """Return the index of each row's class. Raises TableError if there is none."""
    names = KnownNames(classes)
    used = labels[rows]
    found = {label: code for label in used.unique().drop_nulls() if (code := names.find(label)) is not None}
    codes = used.replace_strict(found, default=None, return_dtype=pl.Int64)
    if codes.null_count():
        at = int(codes.is_null().arg_max() or 0)
        label = used[at]
        what = "the label is missing" if label is None else f"'{label:.80}' is not a class of this model"
        hint = did_you_mean(label or "", classes)
        raise TableError(f"row {rows[at] + 1}: label, column '{labels.name}': {what}{hint}")
    return codes.to_numpy()


def sort_names(names: Sequence[str]) -> list[str]:
    """Sort as people do: 2 before 10, grade2 before grade10."""
    if all(NUMBER.fullmatch(name) for name in names):
        return sorted(names, key=lambda name: (float(name), name))
    return sorted(names, key=lambda name: [int(x) if x.isdecimal() else x for x in DIGITS.split(name)])


def make_class_infos(names: Sequence[str], codes: NDArray[np.int64]) -> tuple[ClassInfo, ...]:
    """Make the classes with the counts and shots that the training `codes` give them. Raises TableError."""
    counts = np.bincount(codes, minlength=len(names)).tolist()
    empty = [name for name, count in zip(names, counts, strict=True) if not count]
    if empty:
        raise TableError(f"label: class {list_names(empty)}: no training row has a modality")
    return tuple(
        ClassInfo(name=name, train_count=count, shot=shot)
        for name, count, shot in zip(names, counts, assign_shots(counts), strict=True)
    )


def assign_shots(counts: Sequence[int]) -> list[Shot]:
    """The classes' top, middle and last third by count; ties keep the order of the classes."""
    third = max(1, round(len(counts) / 3))
    shots: list[Shot] = ["medium"] * len(counts)
    ranked = sorted(range(len(counts)), key=lambda code: -counts[code])
    for code in ranked[:third]:
        shots[code] = "many"
    for code in ranked[len(counts) - third :]:
        shots[code] = "few"
    return shots


def list_names(names: Sequence[str]) -> str:
    """Return names in quotes for a message; of very many the first ones, and how many more there are.

    >>> list_names(["cat", "elk"])
    "'cat', 'elk'"
    """
    rest = f" and {len(names) - MAX_LISTED:,} more" if len(names) > MAX_LISTED else ""
    return ", ".join(f"'{name:.80}'" for name in names[:MAX_LISTED]) + rest


def order_by_class(labels: NDArray[np.int64]) -> Rows:
    """Order rows (N,) such that every prefix holds the classes as evenly as possible.

    >>> order_by_class(np.array([0, 0, 0, 1])).tolist()
    [0, 3, 1, 2]
    """
    rank = np.zeros(len(labels), np.int64)  # of a row within its class
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        rank[rows] = np.arange(len(rows))
    return np.argsort(rank, kind="stable")
