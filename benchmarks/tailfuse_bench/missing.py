"""Modalities removed at random, the same for every method: a condition of the bench.

Letters: N rows, M modalities.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray
from tailfuse.data.split import Split
from tailfuse.errors import RunError
from tailfuse.files.table import match_columns
from tailfuse.spec.schema import Spec

Columns = Mapping[str, Sequence[str]]  # by modality


def name_condition(percent: int) -> str:
    """Return the condition in results.csv: `missing_30`, or `clean`."""
    return f"missing_{percent}" if percent else "clean"


def find_columns(spec: Spec, table: pl.DataFrame) -> dict[str, list[str]]:
    """Return the columns of the table that each modality reads. Raises TableError."""
    found = {}
    for name, each in spec.modalities.items():
        keys = each.model_dump()
        patterns = keys.get("columns") or (keys["column"],)
        found[name] = match_columns(table, patterns, f"modalities.{name}")
    return found


def remove_modalities(
    table: pl.DataFrame, columns: Columns, split: Split, percent: int, seed: int
) -> pl.DataFrame:
    """Return the table without `percent` of the modalities of its train, val and test rows.

    Each row keeps one at least. The values are removed from the table itself, so that no statistic is
    fitted to them. Raises RunError if the rows have too few modalities.
    """
    kept = find_presence(table, columns)
    for at, rows in enumerate((split.train, split.val, split.test)):
        random = np.random.default_rng([seed, percent, at])
        kept[rows] = thin_presence(kept[rows], percent, random)
    masks = {f"{at}": kept[:, at] for at in range(len(columns))}
    return (
        table.with_columns(pl.Series(f"kept {name}", mask) for name, mask in masks.items())
        .with_columns(
            pl.when(pl.col(f"kept {at}")).then(pl.col(column)).alias(column)
            for at, names in enumerate(columns.values())
            for column in names
        )
        .drop(f"kept {name}" for name in masks)
    )


def find_presence(table: pl.DataFrame, columns: Columns) -> NDArray[np.bool_]:
    """Return which modalities have a value in each row: (N, M)"""
    present = [
        table.select(pl.any_horizontal(pl.col(names).is_not_null())).to_series().to_numpy()
        for names in columns.values()
    ]
    return np.stack(present, axis=1).astype(bool)


def thin_presence(
    presence: NDArray[np.bool_], percent: int, random: np.random.Generator
) -> NDArray[np.bool_]:
    """Return the presence with `percent` of the present modalities removed: (N, M) -> (N, M)

    One modality of each row, drawn at random, is kept; those to remove are drawn from all others. Raises
    RunError.
    """
    ranks = np.where(presence, random.random(presence.shape), -1.0)
    protected = ranks == ranks.max(axis=1, keepdims=True)
    removable = np.flatnonzero(presence & ~protected)
    wanted = round(presence.sum() * percent / 100)
    if wanted > len(removable):
        raise RunError(
            f"--missing: {percent} % of the modalities are {wanted:,}, but only {len(removable):,} can be "
            "removed: each row keeps one"
        )
    thinned = presence.copy()
    thinned.flat[random.permutation(removable)[:wanted]] = False
    return thinned
