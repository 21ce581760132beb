"""What a path names as a table: a file, a folder of files that are its parts, or of images by class."""

import hashlib
import logging
import os
from collections.abc import Iterable
from pathlib import Path
from typing import NoReturn

import polars as pl
from tailfuse_service.bundle import sha256

from tailfuse.errors import TableError
from tailfuse.files.formats import IMAGE_ENDINGS, TEXT_ENDINGS, TYPED_ENDINGS, is_table

IGNORED = (".", "_")  # how the names of others' temporary files and manifests begin: Spark, Arrow, editors
PARTS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
MAX_NAMED = 3  # columns, in a message
IMAGE, LABEL, SPLIT = "image", "label", "split"  # columns of a folder of images

log = logging.getLogger("tailfuse")


def find_parts(path: Path) -> list[Path]:
    """Return the files of a table: the one that `path` is, or those of a folder in the order of their names.

    Empty for a folder of images. Raises TableError for anything else.
    """
    endings = (*TEXT_ENDINGS, *TYPED_ENDINGS)
    if path.is_dir():
        return [file for file in list_files(path) if is_table(file.name)]
    if not path.name.lower().endswith(endings):
        raise TableError(f"{path}: the format of a table is told by its ending: {', '.join(endings)}")
    if not path.is_file():
        raise TableError(f"{path}: no such file")
    return [path]


def list_files(folder: Path) -> list[Path]:
    """Return the files of a folder by name, without hidden ones. Raises TableError."""
    try:
        found = sorted(folder.iterdir())
    except OSError as error:
        report_unreadable(error)
    return [file for file in found if file.is_file() and not file.name.startswith(IGNORED)]


def report_unreadable(error: OSError) -> NoReturn:
    """Raises TableError: a folder that cannot be listed may hold rows."""
    raise TableError(f"{error.filename}: cannot be read: {error.strerror}") from None


def digest_table(path: Path) -> str:
    """Return the sha256 of a table's file; of a folder, that of the names in it and of its parts' contents.

    Of images only the paths count, as in a table that names them. Raises OSError, TableError.
    """
    if not path.is_dir():
        return sha256(path)
    parts = find_parts(path)
    lines = [f"{file.name} {sha256(file)}" for file in parts] or scan_images(path)[IMAGE].to_list()
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def check_columns(parts: Iterable[tuple[Path, list[str]]]) -> None:
    """Raises TableError if the parts of a table have different columns."""
    (first, columns), *others = parts
    for file, names in others:
        odd = [name for name in (*columns, *names) if (name in columns) != (name in names)]
        if odd:
            named = ", ".join(f"'{name}'" for name in odd[:MAX_NAMED])
            raise TableError(f"{file}: has other columns than {first.name}: {named}")


def scan_images(folder: Path) -> pl.DataFrame:
    """Return the images in a folder of classes: each one's path, from the folder above, and its class.

    The class is the name of the first folder. Where all first folders are named train, val (valid,
    validation) or test, they are the split, and the second ones the classes. Raises TableError.
    """
    found: list[tuple[str, ...]] = []
    others: list[Path] = []
    for at, folders, files in os.walk(folder, onerror=report_unreadable):
        folders[:] = sorted(name for name in folders if not name.startswith(IGNORED))
        below = Path(at).relative_to(folder)
        others += [below / name for name in folders if (Path(at) / name).is_symlink()]  # not followed
        for name in sorted(files):
            if name.lower().endswith(IMAGE_ENDINGS) and below.parts:
                found.append(((folder.name / below / name).as_posix(), *below.parts))
            elif not name.startswith(IGNORED):
                others.append(below / name)
    if not found:
        raise TableError(
            f"{folder}: holds neither tables ({', '.join((*TEXT_ENDINGS, *TYPED_ENDINGS))}) nor folders of "
            "images, one for each class"
        )
    if others:
        count = "1 file that is no image" if len(others) == 1 else f"{len(others):,} files that are no images"
        log.warning("%s: left out %s in the folder of a class; the first is %s", folder, count, others[0])
    columns = {IMAGE: [row[0] for row in found], LABEL: [row[1] for row in found]}
    if {row[1] for row in found} <= PARTS.keys() and all(len(row) > 2 for row in found):
        columns |= {LABEL: [row[2] for row in found], SPLIT: [PARTS[row[1]] for row in found]}
    return pl.DataFrame(columns)
