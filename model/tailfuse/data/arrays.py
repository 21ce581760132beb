"""The rows of a table as arrays, modality by modality."""

import itertools
import logging
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
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

from tailfuse.data.split_arrays import SplitArrays
from tailfuse.errors import TableError
from tailfuse.files.table import Rows
from tailfuse.modalities import KINDS
from tailfuse.modalities.files import UnreadableFile, name_source, report_unreadable
from tailfuse.modalities.ragged import keep_apart
from tailfuse.spelling import did_you_mean

TABLE_LIMITS = Limits(image_formats=FORMATS)  # a user's own table may hold images of any format
CHUNK = 256  # rows between two reports of progress; as many undecoded images are in memory

OnProgress = Callable[[str, int, int], None]  # modality, rows done, rows in all

log = logging.getLogger("tailfuse")


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
    threads: int | None = None,
) -> SplitArrays:
    """The `rows` of a table (all of them, if not given) as arrays; without `labels` (n,), those are -1.

    A modality none of whose columns the table has is absent. With `use_cache` decoded images are kept on
    disk. With `errors` a value that cannot be read is absent, and what is wrong is put there by row. Images
    are decoded by as many `threads` as there are cores, if not told otherwise. Raises TableError.
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
            decode = partial(make_arrays, table, name, modality, each, folder, rows, report, errors, threads)
            if use_cache and (kept := kind.load_cached(modality, table, rows, folder, decode)):
                inputs[name], position[name] = kept
                continue
            for at, array in enumerate(decode()):
                if array is not None:
                    position[name][at] = len(arrays)
                    arrays.append(array)
        ragged = arrays and KINDS[modality.kind].ragged
        inputs[name] = keep_apart(arrays) if ragged else each.stack(arrays)
    labels = np.full(len(rows), -1, np.int64) if labels is None else labels
    return SplitArrays(inputs, position, labels, rows)


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
    threads: int | None = None,
) -> Iterator[NDArray[Any] | None]:
    """One modality's array of each row, or None; images are decoded by all cores, or by so many `threads`.

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
    with ThreadPoolExecutor(threads or os.cpu_count()) as pool:
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
