"""From a spec and its table to arrays."""

import itertools
import logging
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from tailfuse_service.bundle import Features, InvalidInput
from tailfuse_service.errors import UndecodableImage
from tailfuse_service.modalities import Modality
from tailfuse_service.modalities.image.formats import FORMATS
from tailfuse_service.modalities.limits import Limits

from tailfuse.data.classes import encode_labels, make_class_infos, read_labels, sort_names
from tailfuse.data.labels import find_merged_labels, load_labels, warn_of_single_rows
from tailfuse.data.split import Split, read_groups, split_rows
from tailfuse.data.split_arrays import Dataset, SplitArrays
from tailfuse.errors import TableError
from tailfuse.files.table import Rows, describe_wide_missing, normalise, read_table
from tailfuse.modalities import KINDS
from tailfuse.modalities.files import UnreadableFile, name_source, report_unreadable
from tailfuse.modalities.ragged import keep_apart
from tailfuse.spec.schema import Spec, SplitSpec
from tailfuse.spelling import did_you_mean

TABLE_LIMITS = Limits(image_formats=FORMATS)  # a user's own table may hold images of any format
CHUNK = 256  # rows between two reports of progress; as many undecoded images are in memory

OnProgress = Callable[[str, int, int], None]  # modality, rows done, rows in all

log = logging.getLogger("tailfuse")


def load_dataset(spec: Spec, on_progress: OnProgress | None = None) -> Dataset:
    """Read the table, split it, fit the modalities on the training rows, and turn every row into arrays.

    Rows without any modality are left out. Raises TableError.
    """
    table = load_table(spec)
    labels = load_labels(table, spec)
    split = split_rows(table, labels, spec.split, spec.seed)
    return make_dataset(spec, table, labels, split, on_progress)


def make_dataset(
    spec: Spec, table: pl.DataFrame, labels: pl.Series, split: Split, on_progress: OnProgress | None = None
) -> Dataset:
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
        on_progress=on_progress,
    )  # fmt: skip
    present = whole.presence().any(axis=1)
    if not present.all():
        first = rows[np.flatnonzero(~present)[0]] + 1
        log.warning("%d rows have no modality and are left out; the first is row %d", (~present).sum(), first)
    train, val, test = (
        whole.take(np.flatnonzero(present & np.isin(rows, part)))
        for part in (split.train, split.val, split.test)
    )
    for part, given in (("val", val), ("test", test)):
        if not len(given):
            raise TableError(f"split: no row of {part} has a modality")
    group = spec.split.group if isinstance(spec.split, SplitSpec) else None
    groups = read_groups(table, group)[rows[present & np.isin(rows, split.train)]]
    modalities = fit_to_labels(spec, modalities, train)
    return Dataset(
        make_class_infos(names, train.labels), modalities, train, val, test, groups,
        find_merged_labels(read_labels(table, spec.label), labels),
        corrupt_values(spec, modalities, table, split.train) if spec.training.damage else {},
    )  # fmt: skip


def fit_to_labels(spec: Spec, modalities: dict[str, Modality], train: SplitArrays) -> dict[str, Modality]:
    """Fit what the labels of the training rows decide, of every modality."""
    fitted = {}
    for name, each in modalities.items():
        at = train.position[name]
        rows, labels = train.inputs[name][at[at >= 0]], train.labels[at >= 0]
        fitted[name] = KINDS[each.kind].fit_to_labels(spec.modalities[name], each, rows, labels, spec.seed)
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
    for line in describe_wide_missing(table, reading.missing):
        log.warning(line)
    return normalise(table.lazy(), reading.missing).collect()


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


def make_split_arrays(
    table: pl.DataFrame,
    modalities: dict[str, Modality],
    folder: Path,
    *,
    labels: NDArray[np.int64] | None = None,
    rows: Rows | None = None,
    use_cache: bool = False,
    on_progress: OnProgress | None = None,
    errors: dict[int, str] | None = None,
) -> SplitArrays:
    """The `rows` of a table (all of them, if not given) as arrays; without `labels` (n,), those are -1.

    A modality none of whose columns the table has is absent. With `use_cache` decoded images are kept on
    disk. With `errors` a value that cannot be read is absent, and what is wrong is put there by row. Raises
    TableError.
    """
    rows = np.arange(len(table)) if rows is None else rows
    inputs, position = {}, {}
    for name, modality in modalities.items():
        each = modality.features(name, TABLE_LIMITS)
        arrays: list[NDArray[Any]] = []
        position[name] = np.full(len(rows), -1, np.int64)
        if has_columns(table, name, modality):
            kind = KINDS[modality.kind]
            report = partial(on_progress, name) if on_progress else None
            if by_columns := kind.read_arrays(name, modality, table, rows, errors):
                inputs[name], position[name] = by_columns
                if report:
                    report(len(rows), len(rows))
                continue
            decode = partial(make_arrays, table, name, modality, each, folder, rows, report, errors)
            if use_cache and (kept := kind.load_cached(modality, table, rows, folder, decode)):
                inputs[name], position[name] = kept
                continue
            for at, array in enumerate(decode()):
                if array is not None:
                    position[name][at] = len(arrays)
                    arrays.append(array)
        ragged = arrays and KINDS[modality.kind].ragged
        inputs[name] = keep_apart(arrays) if ragged else each.stack(arrays)
    return SplitArrays(inputs, position, np.full(len(rows), -1, np.int64) if labels is None else labels)


def has_columns(table: pl.DataFrame, name: str, modality: Modality) -> bool:
    """Whether the table has the modality's columns: all or none. Raises TableError."""
    wanted = modality.column_names
    lacking = [column for column in wanted if column not in table.columns]
    if len(lacking) == len(wanted):
        log.warning("the table has no column of modality '%s': it is absent", name)
        return False
    if lacking:
        hint = did_you_mean(lacking[0], table.columns)
        raise TableError(f"modality '{name}': the table has no column '{lacking[0]}'{hint}")
    return True


def make_arrays(
    table: pl.DataFrame,
    name: str,
    modality: Modality,
    features: Features,
    folder: Path,
    rows: Rows,
    report: Callable[[int, int], None] | None,
    errors: dict[int, str] | None = None,
) -> Iterator[NDArray[Any] | None]:
    """One modality's array of each row, or None; images are decoded by all cores.

    With `errors`, what is wrong with a row is put there, unless unreadable files are to count as missing.
    """
    kind = KINDS[modality.kind]

    def apply(row: int, raw: Any) -> NDArray[Any] | UnreadableFile | None:
        try:
            return raw if raw is None or isinstance(raw, UnreadableFile) else features.apply(raw)
        except UndecodableImage as error:
            return UnreadableFile(error.detail.removeprefix(f"modality '{name}': "))
        except InvalidInput as error:
            if errors is not None:
                errors[row] = error.detail
                return None
            raise TableError(f"row {row + 1}{name_file(table, modality, row)}: {error.detail}") from None

    pairs = zip(rows.tolist(), kind.raw_values(name, modality, table, rows, folder), strict=True)
    unreadable: list[tuple[str, UnreadableFile]] = []
    done = n_files = 0
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        while chunk := list(itertools.islice(pairs, CHUNK)):
            arrays = (
                pool.map(apply, *zip(*chunk, strict=True))
                if kind.decodes_in_threads
                else itertools.starmap(apply, chunk)
            )
            for (row, raw), array in zip(chunk, arrays, strict=True):
                n_files += raw is not None
                if isinstance(array, UnreadableFile):
                    place = name_file(table, modality, row)
                    if errors is not None and kind.on_unreadable(modality) == "stop":
                        errors[row] = f"modality '{name}'{place}: {array.why}"
                    else:
                        unreadable.append((f"row {row + 1}{place}", array))
                yield None if isinstance(array, UnreadableFile) else array
            done += len(chunk)
            if report:
                report(done, len(rows))
    if errors is None:
        report_unreadable(name, unreadable, n_files, kind.on_unreadable(modality))
    elif unreadable:
        place, first = unreadable[0]
        log.warning(
            "modality '%s': %d of %d files cannot be read and count as missing; the first is %s: %s",
            name, len(unreadable), n_files, place.partition(", ")[2], first.why,
        )  # fmt: skip


def name_file(table: pl.DataFrame, modality: Modality, row: int) -> str:
    """Name the file that a value comes from, for a message; the other kinds' own messages name the column."""
    columns = modality.column_names
    is_file = KINDS[modality.kind].reads_files and len(columns) == 1
    return name_source(table, columns[0], row) if is_file else ""
