"""Files that are written whole or not at all, and never over another one unless that is asked."""

import errno
import os
from collections.abc import Sequence
from pathlib import Path

from tailfuse_service.bundle import write_atomically

from tailfuse.errors import UserError

TABLE_ENDINGS = (".csv", ".parquet", ".jsonl")


def check_output(path: Path | None, overwrite: bool, *, source: Path | None = None) -> None:
    """Check before the work that a file can be written, and that none is lost.

    `source` is the file that is read: it is never replaced. Raises UserError.
    """
    if path is None:
        return
    if not path.parent.is_dir():
        raise UserError(f"{path}: cannot be written: {os.strerror(errno.ENOENT)}")
    if not path.exists():
        return
    if not path.is_file():
        raise UserError(f"{path}: is not a regular file")
    if source is not None and source.exists() and path.samefile(source):
        raise UserError(f"{path}: is the table that is read; write to another file")
    if not overwrite:
        raise UserError(f"{path}: exists already; --overwrite replaces it")


def check_ending(path: Path | None, endings: Sequence[str] = TABLE_ENDINGS) -> None:
    """Raises UserError if the ending of a file does not name a format that can be written."""
    if path is not None and path.suffix.lower() not in endings:
        raise UserError(f"--out {path}: its ending is the format, one of {', '.join(endings)}")


def write_output(path: Path, text: str) -> None:
    """Replace the file. Raises UserError, and leaves nothing behind then."""
    try:
        write_atomically(path, text)
    except OSError as error:
        raise UserError(f"{path}: cannot be written: {error.strerror}") from None
