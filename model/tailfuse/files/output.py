"""Files that are written whole or not at all, and never over another one unless that is asked."""

import errno
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from tailfuse_service.bundle import write_atomically

from tailfuse.errors import UserError

TABLE_ENDINGS = (".csv", ".parquet", ".jsonl")


def check_output(
    path: Path | None,
    overwrite: bool,
    *,
    sources: Sequence[Path] = (),
    bundles: Sequence[Path] = (),
) -> None:
    """Check before the work that a file can be written, and that none is lost.

    `sources` are the files and folders of rows or values that are read, `bundles` the bundles: none is ever
    changed. Raises UserError.
    """
    if path is None:
        return
    if not path.parent.is_dir():
        raise UserError(f"{path}: cannot be written: {os.strerror(errno.ENOENT)}")
    for bundle in bundles:
        check_outside_bundle(path, bundle)
    if not path.exists():
        return
    if not path.is_file():
        raise UserError(f"{path}: is not a regular file")
    check_not_read(path, sources)
    if not overwrite:
        raise UserError(f"{path}: exists already; --overwrite replaces it")


def check_not_read(path: Path, sources: Sequence[Path]) -> None:
    """Raises UserError if a file that is to be replaced is one of those that are read, or a part of one."""
    if not path.exists():
        return
    # Imported here: it loads Pillow.
    from tailfuse.files.formats import is_table

    for source in sources:
        if is_part(path, source):
            whole = "the table" if is_table(source.name) else "a file"
            what = "a part of the table" if source.is_dir() else whole
            raise UserError(f"{path}: is {what} that is read; write to another file")


def is_part(path: Path, table: Path) -> bool:
    """Return whether an existing file is a table, or one of the files in its folder that are its rows."""
    if not table.is_dir():
        return table.exists() and path.samefile(table)
    # Imported here, for sources.py needs polars, which the base install leaves out.
    from tailfuse.files.formats import IMAGE_ENDINGS
    from tailfuse.files.sources import find_parts

    if parts := find_parts(table):
        return any(path.samefile(part) for part in parts)
    return path.name.lower().endswith(IMAGE_ENDINGS) and path.resolve().is_relative_to(table.resolve())


def check_outside_bundle(path: Path, bundle: Path) -> None:
    """Raises UserError if what is written would replace a bundle, or be a file in its folder.

    A file that the manifest does not list makes the bundle invalid, so a new one is refused too.
    """
    if path.resolve() == bundle.resolve():
        raise UserError(f"{path}: is the bundle that is read; write to another path")
    if path.resolve().is_relative_to(bundle.resolve()):
        raise UserError(f"{path}: is inside the bundle that is read; write to another folder")


def check_stdout() -> None:
    """Raises UserError if standard output is closed, as after `>&-`: Python has no stream for it then."""
    if sys.stdout is None:
        raise UserError("standard output is closed; write to a file with --out")


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
