"""The rows of a table as arrays, modality by modality."""

import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray
from tailfuse_service.modalities import Modality

from tailfuse.data.kept_rows import load_kept_rows
from tailfuse.data.read_rows import Report, Source, make_arrays, read_rows, stack_rows
from tailfuse.data.split_arrays import SplitArrays
from tailfuse.errors import TableError
from tailfuse.files.table import Rows
from tailfuse.modalities import KINDS
from tailfuse.modalities.kind import Arrays
from tailfuse.spelling import did_you_mean

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
    table_key: str | None = None,
    on_progress: OnProgress | None = None,
    errors: dict[int, str] | None = None,
    threads: int | None = None,
) -> SplitArrays:
    """The `rows` of a table (all of them, if not given) as arrays; without `labels` (n,), those are -1.

    A modality none of whose columns the table has is absent. With `use_cache` decoded images are kept on
    disk, and with `table_key`, which identifies the table, so are the rows of a large one. With `errors` a
    value that cannot be read is absent, and what is wrong is put there by row. Images are decoded by as many
    `threads` as there are cores, if not told otherwise. Raises TableError.
    """
    rows = np.arange(len(table)) if rows is None else rows
    inputs, position = {}, {}
    for name, modality in modalities.items():
        source = Source(table, name, modality, folder, errors, threads)
        report = partial(on_progress, name) if on_progress else None
        if not has_columns(table, name, modality):
            inputs[name], position[name] = stack_rows(source, []), np.full(len(rows), -1, np.int64)
            continue
        kept = load_from_cache(source, rows, table_key, report) if use_cache else None
        inputs[name], position[name] = kept or read_rows(source, rows, report)
    labels = np.full(len(rows), -1, np.int64) if labels is None else labels
    return SplitArrays(inputs, position, labels, rows)


def load_from_cache(
    source: Source, rows: Rows, table_key: str | None, report: Report | None
) -> Arrays | None:
    """Return rows that the cache on disk holds, or that are put there; None of those that it does not take.

    Raises TableError.
    """
    decode = partial(make_arrays, source, rows, report)
    kept = KINDS[source.modality.kind].load_cached(source.modality, source.table, rows, source.folder, decode)
    return kept or load_kept_rows(source, rows, table_key, report)


def has_columns(table: pl.DataFrame, name: str, modality: Modality) -> bool:
    """Return whether the table has the modality's columns: all or none. Raises TableError."""
    wanted = modality.column_names
    lacking = [column for column in wanted if column not in table.columns]
    if len(lacking) == len(wanted):
        log.warning("the table has no column of modality '%s': it is absent", name)
        return False
    if lacking:
        hint = did_you_mean(lacking[0], table.columns)
        raise TableError(f"modality '{name}': the table has no column '{lacking[0]}'{hint}")
    return True
