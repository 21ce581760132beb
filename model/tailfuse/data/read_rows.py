"""The rows of one modality of a table as arrays: by columns where its kind can, else value by value."""

import itertools
import logging
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
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

from tailfuse.errors import TableError
from tailfuse.files.table import Rows
from tailfuse.modalities import KINDS
from tailfuse.modalities.files import UnreadableFile, name_source, report_unreadable
from tailfuse.modalities.kind import Arrays
from tailfuse.modalities.ragged import keep_apart

TABLE_LIMITS = Limits(image_formats=FORMATS)  # a user's own table may hold images of any format
CHUNK = 256  # rows between two reports of progress; as many undecoded images are in memory

Report = Callable[[int, int], None]  # rows done, rows in all

log = logging.getLogger("tailfuse")


@dataclass(frozen=True, slots=True)
class Source:
    """One modality of a table whose files lie in `folder`."""

    table: pl.DataFrame
    name: str
    modality: Modality
    folder: Path
    # By row what is wrong with it, to be filled; None: an error is raised. Files may count as missing.
    errors: dict[int, str] | None = None
    threads: int | None = None  # that decode files; all cores, if not told otherwise

    @property
    def features(self) -> Features:
        """Return the features that turn a raw value into an array."""
        return self.modality.features(self.name, TABLE_LIMITS)


def read_rows(source: Source, rows: Rows, report: Report | None = None) -> Arrays:
    """Return the arrays of `rows`, and the position of each. Raises TableError."""
    kind = KINDS[source.modality.kind]
    by_columns = kind.read_arrays(source.name, source.modality, source.table, rows, source.errors)
    if by_columns:
        if report:
            report(len(rows), len(rows))
        return by_columns
    arrays: list[NDArray[Any]] = []
    position = np.full(len(rows), -1, np.int64)
    for at, array in enumerate(make_arrays(source, rows, report)):
        if array is not None:
            position[at] = len(arrays)
            arrays.append(array)
    return stack_rows(source, arrays), position


def stack_rows(source: Source, arrays: list[NDArray[Any]]) -> NDArray[Any]:
    """Return the arrays of rows as one; those of different lengths stay apart."""
    ragged = arrays and KINDS[source.modality.kind].ragged
    return keep_apart(arrays) if ragged else source.features.stack(arrays)


def make_arrays(source: Source, rows: Rows, report: Report | None = None) -> Iterator[NDArray[Any] | None]:
    """Yield the array of each row, or None; files are decoded by all cores, or by so many threads."""
    name, modality, errors = source.name, source.modality, source.errors
    kind, features = KINDS[modality.kind], source.features

    def apply(row: int, raw: Any) -> NDArray[Any] | UnreadableFile | None:
        try:
            return raw if raw is None or isinstance(raw, UnreadableFile) else features.apply(raw)
        except UndecodableImage as error:
            return UnreadableFile(error.detail.removeprefix(f"modality '{name}': "))
        except InvalidInput as error:
            if errors is not None:
                errors[row] = error.detail
                return None
            raise TableError(f"row {row + 1}{name_file(source, row)}: {error.detail}") from None

    values = kind.raw_values(name, modality, source.table, rows, source.folder)
    pairs = zip(rows.tolist(), values, strict=True)
    unreadable: list[tuple[str, UnreadableFile]] = []
    done = n_files = 0
    n_threads = (source.threads or os.cpu_count() or 1) if kind.decodes_in_threads else 1
    with ThreadPoolExecutor(n_threads) as pool:  # which starts a thread with the first value that it is given
        decode = pool.map if n_threads > 1 else map
        while chunk := list(itertools.islice(pairs, CHUNK)):
            arrays = decode(apply, *zip(*chunk, strict=True))
            for (row, raw), array in zip(chunk, arrays, strict=True):
                n_files += raw is not None
                if isinstance(array, UnreadableFile):
                    place = name_file(source, row)
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


def name_file(source: Source, row: int) -> str:
    """Name the file that a value comes from, for a message; the other kinds' own messages name the column."""
    columns = source.modality.column_names
    is_file = KINDS[source.modality.kind].reads_files and len(columns) == 1
    return name_source(source.table, columns[0], row) if is_file else ""
