"""Which rows are for training, validation and test: by a column, or by fractions."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from tailfuse.data.classes import list_names
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
    """Split the rows of a table that have a label. Raises TableError.

    The same seed gives the same split. By fractions, every class has a row in train, then one in test if it
    has two rows, and one in val if it has three.
    """
    if isinstance(split, str):
        split = SplitSpec(column=split)
    groups = read_groups(table, split.group)
    has_label = labels.is_not_null().to_numpy()
    if split.column:
        parts = {part: rows[has_label[rows]] for part, rows in find_parts(table, split.column).items()}
        warn_of_unused_rows(table, split.column)
        if not len(parts["val"]):
            train = parts.pop("train")
            parts |= split_by_fraction(labels, train, groups[train], {"val": split.val}, seed)
        if split.group:
            warn_of_shared_groups(table[split.group], groups, parts)
    else:
        labelled = np.flatnonzero(has_label)
        fractions = {"test": split.test, "val": split.val}
        parts = split_by_fraction(labels, labelled, groups[labelled], fractions, seed)
    no_test = not split.column and not split.test
    for part in PARTS[:2] if no_test else PARTS:
        if part not in parts or not len(parts[part]):
            raise TableError(f"split: no row is left for {part}; there are too few rows, or too few groups")
    check_in_train(labels, parts)
    return Split(**parts)


def find_parts(table: pl.DataFrame, column: str) -> dict[str, Rows]:
    """Return the rows where the column says train, val and test. Raises TableError."""
    values = read_split_column(table, column)
    parts = {part: np.flatnonzero((values == part).fill_null(False).to_numpy()) for part in PARTS}
    for part in ("train", "test"):
        if not len(parts[part]):
            examples = describe_other_values(values)
            found = f"; it holds {examples}" if examples else ""
            raise TableError(f"split: column '{column}' has no row with '{part}'{found}")
    return parts


def read_split_column(table: pl.DataFrame, column: str) -> pl.Series:
    """Return what the column says of each row, without spaces around it. Raises TableError."""
    if column not in table.columns:
        hint = did_you_mean(column, table.columns)
        raise TableError(f"split: the table has no column '{column}'{hint}")
    values = type_cells(table[column], "category", f"split, column '{column}'", np.arange(len(table)))
    return values.str.strip_chars()


def warn_of_unused_rows(table: pl.DataFrame, column: str) -> None:
    """Say how many rows are of no part, and what their column says."""
    values = read_split_column(table, column)
    unused = int((~values.fill_null("").is_in(PARTS)).sum())
    if unused:
        log.warning("%d rows are not used: their '%s' is %s", unused, column, describe_other_values(values))


def describe_other_values(values: pl.Series) -> str:
    """Return up to three values that are no part, for a message."""
    other = values.filter(~values.fill_null("").is_in(PARTS))
    examples = other.fill_null("missing").unique().sort().head(3)
    return ", ".join(value if value == "missing" else f"'{value:.40}'" for value in examples)


def check_in_train(labels: pl.Series, parts: Mapping[str, Rows]) -> None:
    """Raises TableError that names the classes of val and test that have no training row."""
    rows = np.sort(np.concatenate([parts["val"], parts["test"]]))
    untrained = rows[~labels[rows].is_in(labels[parts["train"]].unique().implode()).to_numpy()]
    if len(untrained):
        names = labels[untrained].unique().sort().to_list()
        part = "val" if untrained[0] in parts["val"] else "test"
        what = "class {} has" if len(names) == 1 else f"{len(names):,} classes have"
        listed = "" if len(names) == 1 else f": {list_names(names)}"
        raise TableError(
            f"label: column '{labels.name}': {what.format(list_names(names))} no training row{listed}; "
            f"row {untrained[0] + 1} is in {part}. Move a row of each to train, "
            "or merge rare classes by min_rows in the spec"
        )


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
    """Return the number of each row's group. A row without a group is one of its own."""
    alone = np.arange(len(table))
    if column is None:
        return alone
    if column not in table.columns:
        hint = did_you_mean(column, table.columns)
        raise TableError(f"split.group: the table has no column '{column}'{hint}")
    values = type_cells(table[column], "category", f"split.group, column '{column}'", alone)
    _, groups = np.unique(values.fill_null("").to_numpy(), return_inverse=True)
    return np.where(values.is_null().to_numpy(), len(table) + alone, groups)


def split_by_fraction(
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
        part_of_group |= assign_parts(free, have, count_targets(int(counts[code]), fractions))
    chosen = np.array([part_of_group[group] for group in groups.tolist()])
    return {part: rows[chosen == part] for part in ("train", *fractions)}


def count_targets(count: int, fractions: dict[str, float]) -> dict[str, int]:
    """Return how many rows of a class of `count` the parts other than train should have."""
    least = {"test": 1 if count >= 2 else 0, "val": 1 if count >= 3 else 0}
    return {
        part: max(least[part], round(count * fraction)) if fraction else 0
        for part, fraction in fractions.items()
    }


def assign_parts(free: dict[int, int], have: dict[str, int], targets: dict[str, int]) -> dict[int, str]:
    """Assign a part to each group of `free` (rows by group); train comes first, and takes what is left."""
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
