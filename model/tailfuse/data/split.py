"""Which rows are for training, validation and test: by a column, or by fractions."""

import logging
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from tailfuse.data.classes import check_in_train, check_labels
from tailfuse.errors import TableError
from tailfuse.files.cells import type_cells
from tailfuse.files.table import Rows
from tailfuse.spec.schema import SplitSpec
from tailfuse.spelling import did_you_mean

PARTS = ("train", "val", "test")

log = logging.getLogger("tailfuse")


@dataclass(frozen=True, slots=True)
class Split:
    """Row indices of each part, ascending; no row is in two."""

    train: Rows
    val: Rows
    test: Rows


def split_rows(table: pl.DataFrame, labels: pl.Series, split: str | SplitSpec, seed: int) -> Split:
    """Split the rows of a table whose rows have these labels. Raises TableError.

    The same seed gives the same split. By fractions, every class has a row in train, then one in test if it
    has two rows, and one in val if it has three.
    """
    if isinstance(split, str):
        split = SplitSpec(column=split)
    everything, groups = np.arange(len(table)), read_groups(table, split.group)
    if split.column:
        parts = by_column(table, split.column)
        check_labels(labels, np.concatenate(list(parts.values())))
        if not len(parts["val"]):
            train = parts.pop("train")
            parts |= by_fraction(labels, train, groups[train], {"val": split.val}, seed)
        if split.group:
            warn_of_shared_groups(table[split.group], groups, parts)
    else:
        check_labels(labels, everything)
        fractions = {"test": split.test, "val": split.val}
        parts = by_fraction(labels, everything, groups, fractions, seed)
    for part in PARTS:
        if part not in parts or not len(parts[part]):
            raise TableError(f"split: no row is left for {part}; there are too few rows, or too few groups")
    check_in_train(labels, parts)
    return Split(**parts)


def by_column(table: pl.DataFrame, column: str) -> dict[str, Rows]:
    """The rows where the column says train, val and test; others are not used."""
    if column not in table.columns:
        hint = did_you_mean(column, table.columns)
        raise TableError(f"split: the table has no column '{column}'{hint}")
    values = type_cells(table[column], "category", f"split, column '{column}'", np.arange(len(table)))
    parts = {part: np.flatnonzero((values == part).fill_null(False).to_numpy()) for part in PARTS}
    other = values.filter(~values.fill_null("").is_in(PARTS))
    examples = other.fill_null("missing").unique().sort().head(3)
    shown = ", ".join(value if value == "missing" else f"'{value:.40}'" for value in examples)
    for part in ("train", "test"):
        if not len(parts[part]):
            found = f"; it holds {shown}" if len(other) else ""
            raise TableError(f"split: column '{column}' has no row with '{part}'{found}")
    if len(other):
        log.warning("%d rows are not used: their '%s' is %s", len(other), column, shown)
    return parts


def warn_of_shared_groups(names: pl.Series, groups: NDArray[np.int64], parts: dict[str, Rows]) -> None:
    """Say so if a split column gives rows of one group to test and to another part."""
    others = np.concatenate([parts["train"], parts["val"]])
    shared = parts["test"][np.isin(groups[parts["test"]], groups[others])]
    if len(shared):
        log.warning(
            "split.group: %d test rows have a group that other parts have too, the first '%s'",
            len(shared), names[int(shared[0])],
        )  # fmt: skip


def read_groups(table: pl.DataFrame, column: str | None) -> NDArray[np.int64]:
    """The number of each row's group. A row without a group is one of its own."""
    alone = np.arange(len(table))
    if column is None:
        return alone
    if column not in table.columns:
        hint = did_you_mean(column, table.columns)
        raise TableError(f"split.group: the table has no column '{column}'{hint}")
    values = type_cells(table[column], "category", f"split.group, column '{column}'", alone)
    _, groups = np.unique(values.fill_null("").to_numpy(), return_inverse=True)
    return np.where(values.is_null().to_numpy(), len(table) + alone, groups)


def by_fraction(
    labels: pl.Series, rows: Rows, groups: NDArray[np.int64], fractions: dict[str, float], seed: int
) -> dict[str, Rows]:
    """Give whole groups of `rows` to parts, class by class, the rarest first while all groups are free."""
    rng = np.random.default_rng(seed)
    _, codes, counts = np.unique(labels[rows].to_numpy(), return_inverse=True, return_counts=True)
    part_of_group: dict[int, str] = {}
    for code in np.argsort(counts, kind="stable"):
        members, sizes = np.unique(groups[codes == code], return_counts=True)
        order = rng.permutation(len(members))
        free = dict(zip(members[order].tolist(), sizes[order].tolist(), strict=True))
        have = dict.fromkeys(PARTS, 0)
        for group in [group for group in free if group in part_of_group]:
            have[part_of_group[group]] += free.pop(group)
        part_of_group |= fill(free, have, wanted(int(counts[code]), fractions))
    chosen = np.array([part_of_group[group] for group in groups.tolist()])
    return {part: rows[chosen == part] for part in ("train", *fractions)}


def wanted(count: int, fractions: dict[str, float]) -> dict[str, int]:
    """How many rows of a class of `count` the parts other than train should have."""
    least = {"test": 1 if count >= 2 else 0, "val": 1 if count >= 3 else 0}
    return {part: max(least[part], round(count * fraction)) for part, fraction in fractions.items()}


def fill(free: dict[int, int], have: dict[str, int], targets: dict[str, int]) -> dict[int, str]:
    """A part for each group of `free` (rows by group); train comes first, and takes what is left."""
    chosen: dict[int, str] = {}
    if free and not have["train"]:
        largest = max(free, key=lambda group: free[group])
        chosen[largest] = "train"
    for part, target in targets.items():
        for group, size in free.items():
            # Over the target only if under it is farther away.
            if group not in chosen and have[part] + size / 2 <= target:
                chosen[group] = part
                have[part] += size
        left = [group for group in free if group not in chosen]
        if target and not have[part] and left:
            chosen[min(left, key=lambda group: free[group])] = part
    return {group: chosen.get(group, "train") for group in free}
