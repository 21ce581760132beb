"""Tables in .tar files as WebDataset has them: the files of a row are neighbours and share a name.

The name up to the first point of the file's own name is the row's key, the rest says what the column is:
`000017.jpg`, `000017.cls` and `000017.json` are one row.
"""

import json
import tarfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl

from tailfuse.errors import TableError
from tailfuse.files.formats import IMAGE_ENDINGS

KEY, IMAGE = "__key__", "image"
BYTES = (".npy", ".wav")  # beside images
JSON = ".json"
PIECE = 2**20  # bytes that are read at once
MAX_FILE = 2**28  # bytes; a larger one is no cell of a table

Row = dict[str, Any]


def read_tar(path: Path) -> pl.DataFrame:
    """Read a .tar as a table: images and arrays as bytes, all other files as texts, JSON by its keys.

    All images are the column `image`; another column is named as its files end. Raises TableError.
    """
    try:
        rows = list(iterate_rows(path))
    except (tarfile.TarError, OSError, EOFError) as error:
        raise TableError(f"{path}: cannot be read: {error}") from None
    if not rows:
        raise TableError(f"{path}: the table has no rows")
    columns = list(dict.fromkeys(name for row in rows for name in row))
    # Not strict: of numbers and texts in one column all become texts.
    return pl.DataFrame(
        {name: pl.Series(name, [row.get(name) for row in rows], strict=False) for name in columns}
    )


def iterate_rows(path: Path) -> Iterator[Row]:
    """Yield each row. Raises TableError, OSError, tarfile.TarError."""
    row: Row = {}
    seen: set[str] = set()
    with tarfile.open(path, "r|") as archive:
        for member in archive:
            folder, _, name = member.name.rpartition("/")
            if not member.isfile() or name.startswith((".", "_")):
                continue
            stem, _, ending = name.partition(".")
            key, ending = f"{folder}/{stem}".lstrip("./"), f".{ending.lower()}"
            if row.get(KEY) != key:
                if row:
                    yield row
                if key in seen:
                    raise TableError(f"{path}: the files of '{key}' are not next to each other")
                seen.add(key)
                row = {KEY: key}
            add_cell(row, ending, read_member(path, archive, member), f"{path}: {member.name}")
        check_end(path, archive.offset)
    if row:
        yield row


def check_end(path: Path, offset: int) -> None:
    """Raises TableError unless an archive ends at the offset, with a block of zeros at least, and no more.

    tarfile takes an archive that was cut off, or a damaged name, for the end.
    """
    size = path.stat().st_size - offset
    with path.open("rb") as file:
        file.seek(offset)
        is_zero = not any(piece.strip(b"\0") for piece in iter(partial(file.read, PIECE), b""))
    if is_zero and size >= tarfile.BLOCKSIZE:
        return
    raise TableError(f"{path}: is damaged or cut off after {offset:,} bytes")


def read_member(path: Path, archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    """Read one file of an archive. Raises TableError if it is too large to be a cell."""
    if member.size > MAX_FILE:
        raise TableError(f"{path}: {member.name} has {member.size:,} bytes; {MAX_FILE:,} are taken")
    file = archive.extractfile(member)
    assert file is not None  # it is a regular file
    return file.read()


def add_cell(row: Row, ending: str, content: bytes, where: str) -> None:
    """Add what a file holds to its row; `where` names it in messages. Raises TableError."""
    cells: Row
    if ending.endswith(IMAGE_ENDINGS):
        cells = {IMAGE: content}
    elif ending.endswith(BYTES):
        cells = {ending[1:]: content}
    else:
        try:
            text = content.decode().strip()
        except UnicodeDecodeError:
            raise TableError(f"{where}: is neither an image or array nor a text in UTF-8") from None
        cells = parse_json(where, text) if ending == JSON else {ending[1:]: text}
    for name, value in cells.items():
        if name in row:
            raise TableError(f"{where}: its row has another '{name}'")
        row[name] = value


def parse_json(where: str, text: str) -> Row:
    """Return the values of a JSON object by key; objects and lists in it as JSON. Raises TableError."""
    try:
        values = json.loads(text)
    except ValueError as error:
        raise TableError(f"{where}: is no JSON: {error}") from None
    if not isinstance(values, dict):
        raise TableError(f"{where}: expected a JSON object")
    return {
        name: json.dumps(value) if isinstance(value, dict | list) else value for name, value in values.items()
    }
