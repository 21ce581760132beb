"""From a spec and its table to arrays."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from tailfuse_service.modalities import Modality

from tailfuse.data.arrays import OnProgress, make_split_arrays
from tailfuse.data.classes import encode_labels, make_class_infos, read_labels, sort_names
from tailfuse.data.labels import find_merged_labels, load_labels, warn_of_single_rows
from tailfuse.data.split import Split, read_groups, split_rows
from tailfuse.data.split_arrays import Dataset, SplitArrays
from tailfuse.errors import TableError
from tailfuse.files.cache import make_key
from tailfuse.files.sources import digest_table
from tailfuse.files.table import Rows, describe_wide_missing, normalise, read_table
from tailfuse.modalities import KINDS
from tailfuse.spec.schema import Spec, SplitSpec

FITTED_ROWS = 50_000  # training rows that decide what depends on the labels; more tell no more

log = logging.getLogger("tailfuse")


def load_dataset(spec: Spec, on_progress: OnProgress | None = None) -> Dataset:
    """Read the table, split it, fit the modalities on the training rows, and turn every row into arrays.

    Rows without any modality are left out. Raises TableError.
    """
    table = load_table(spec)
    try:
        checksum = digest_table(spec.table)
    except OSError as error:
        raise TableError(f"table: {spec.table}: {str(error.strerror).lower()}") from None
    table_key = make_key(checksum, spec.reading)
    return replace(build_dataset(spec, table, on_progress, table_key), table_sha256=checksum)


def build_dataset(
    spec: Spec, table: pl.DataFrame, on_progress: OnProgress | None = None, table_key: str | None = None
) -> Dataset:
    """Do what `load_dataset` does, with a table that has been read. Raises TableError.

    With `table_key`, which identifies the table, the rows of a large one are kept on disk.
    """
    labels = load_labels(table, spec)
    split = split_rows(table, labels, spec.split, spec.seed)
    return make_dataset(spec, table, labels, split, on_progress, table_key)


def make_dataset(
    spec: Spec, table: pl.DataFrame, labels: pl.Series, split: Split, on_progress: OnProgress | None = None,
    table_key: str | None = None,
) -> Dataset:  # fmt: skip
    """The rows of a split as arrays; the modalities are fitted on its training rows. Raises TableError."""
    folder = spec.table.parent
    modalities = {
        name: KINDS[each.kind].fit(name, each, table, split.train, folder, spec.reading)
        for name, each in spec.modalities.items()
    }
    check_leaks(spec, modalities)
    rows = np.sort(np.concatenate([split.train, split.val, split.test]))
    warn_of_single_rows(labels[rows])
    names = sort_names(labels[split.train].unique().to_list())
    codes = encode_labels(labels, names, split.train)
    for name, each in spec.modalities.items():
        modalities[name] = KINDS[each.kind].choose_encoder(
            name, each, modalities[name], table, split.train, codes, folder, spec.seed
        )
    whole = make_split_arrays(
        table, modalities, folder, labels=encode_labels(labels, names, rows), rows=rows, use_cache=True,
        table_key=table_key, on_progress=on_progress,
    )  # fmt: skip
    present = whole.presence().any(axis=1)
    if not present.all():
        first = rows[np.flatnonzero(~present)[0]] + 1
        log.warning("%d rows have no modality and are left out; the first is row %d", (~present).sum(), first)
    train, val, test = (
        whole.take(np.flatnonzero(present & np.isin(rows, part)))
        for part in (split.train, split.val, split.test)
    )
    for part, chosen, given in (("val", split.val, val), ("test", split.test, test)):
        if len(chosen) and not len(given):
            raise TableError(f"split: no row of {part} has a modality")
    group = spec.split.group if isinstance(spec.split, SplitSpec) else None
    groups = read_groups(table, group)[rows[present & np.isin(rows, split.train)]]
    modalities = fit_to_labels(spec, modalities, train, groups)
    return Dataset(
        make_class_infos(names, train.labels), modalities, train, val, test, groups,
        find_merged_labels(read_labels(table, spec.label), labels),
        corrupt_values(spec, modalities, table, split.train) if spec.training.damage else {},
    )  # fmt: skip


def fit_to_labels(
    spec: Spec, modalities: dict[str, Modality], train: SplitArrays, groups: NDArray[np.int64]
) -> dict[str, Modality]:
    """Fit what the labels of the training rows decide, of every modality."""
    fitted = {}
    for name, each in modalities.items():
        at = train.position[name]
        chosen = np.flatnonzero(at >= 0)
        if len(chosen) > FITTED_ROWS:
            chosen = np.sort(np.random.default_rng(spec.seed).permutation(chosen)[:FITTED_ROWS])
        fitted[name] = KINDS[each.kind].fit_to_labels(
            spec.modalities[name], each, train.inputs[name][at[chosen]], train.labels[chosen], groups[chosen],
            spec.seed,
        )  # fmt: skip
    return fitted


def corrupt_values(
    spec: Spec, modalities: dict[str, Modality], table: pl.DataFrame, train: Rows
) -> dict[str, NDArray[Any]]:
    """Return rows of corrupted training values for every kind that corrupts raw values."""
    made = {
        name: KINDS[each.kind].corrupt_values(name, each, table, train, spec.table.parent, spec.seed)
        for name, each in modalities.items()
    }
    return {name: rows for name, rows in made.items() if rows is not None}


def load_table(spec: Spec) -> pl.DataFrame:
    """Read the spec's table. A text that is taken as missing but may be a value is warned of.

    Raises TableError.
    """
    reading = spec.reading
    try:
        table = read_table(spec.table, replace(reading, missing=()))
    except TableError as error:
        raise TableError(f"table: {error}") from None
    return clean_table(table, reading.missing)


def clean_table(table: pl.DataFrame, missing: Sequence[str]) -> pl.DataFrame:
    """Return a table with one spelling of missing. Warn of a text that may be a value."""
    for line in describe_wide_missing(table, missing):
        log.warning(line)
    return normalise(table.lazy(), missing).collect()


def check_leaks(spec: Spec, modalities: dict[str, Modality]) -> None:
    """No modality may read what is to be predicted, or how the rows were split. Raises TableError."""
    roles = {"label": spec.label}
    if isinstance(spec.split, SplitSpec):
        named = {"split.column": spec.split.column, "split.group": spec.split.group}
        roles |= {role: column for role, column in named.items() if column}
    else:
        roles["split"] = spec.split
    for name, modality in modalities.items():
        for role, column in roles.items():
            if column in modality.column_names:
                raise TableError(f"modalities.{name}: column '{column}' is the spec's {role}; leave it out")
