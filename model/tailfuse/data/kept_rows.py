"""The rows of a large table are kept on disk and mapped: they need no memory of a process.

Several processes that train on one table share them.
"""

import hashlib
from functools import cache, partial
from pathlib import Path

import numpy as np
import tailfuse_service.modalities

from tailfuse.data.pieces import read_pieces
from tailfuse.data.read_rows import Report, Source
from tailfuse.files.cache import cached_rows, make_key
from tailfuse.files.table import Rows
from tailfuse.modalities import KINDS
from tailfuse.modalities.kind import Arrays
from tailfuse.modalities.ragged import keep_apart

MIN_KEPT_ROWS = 50_000  # fewer need little memory, and are read in seconds


def load_kept_rows(source: Source, rows: Rows, table_key: str | None, report: Report | None) -> Arrays | None:
    """Return the arrays of `rows`, mapped from files, which are written if they are not there.

    None if the rows are few, and where nothing says what they are made of: `table_key` does not identify the
    files that a table names. Raises TableError.
    """
    kind = KINDS[source.modality.kind]
    if table_key is None or kind.reads_files or len(rows) < MIN_KEPT_ROWS:
        return None
    chosen = hashlib.sha256(rows.data).hexdigest()
    key = make_key(table_key, chosen, source.modality.model_dump_json(), identify_code())
    make = partial(read_pieces, source, rows, report)
    values, lengths = cached_rows(f"rows-{key}", len(rows), make)
    present = lengths >= 0
    if not present.any():
        return None
    if kind.ragged:
        values = keep_apart(np.split(values, np.cumsum(lengths[present])[:-1]))
    return values, np.where(present, np.cumsum(present) - 1, -1)


@cache
def identify_code() -> str:
    """Return what identifies the code that reads a table and makes its arrays."""
    ours = Path(__file__).parents[1]
    folders = [
        ours / "data", ours / "files", ours / "modalities", Path(tailfuse_service.modalities.__file__).parent,
    ]  # fmt: skip
    return make_key(*(file.read_text() for folder in folders for file in sorted(folder.rglob("*.py"))))
