"""Arrays that took long to make, kept on disk. All of the folder may be deleted at any time."""

import errno
import hashlib
import logging
import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tailfuse_service.bundle.atomic import atomic_file, remove_abandoned

FOLDER = "TAILFUSE_CACHE"
DIGEST = 32  # bytes of a sha256

Shape = tuple[int, ...]
log = logging.getLogger("tailfuse")


def cache_folder() -> Path:
    """What the variable TAILFUSE_CACHE names, or ~/.cache/tailfuse."""
    return Path(os.environ.get(FOLDER) or Path.home() / ".cache" / "tailfuse")


def make_key(*parts: object) -> str:
    """A name for what these parts say, each by its repr: the same for the same parts, and for no others."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def cached(
    name: str, shape: Shape, dtype: type[Any], make: Callable[[], Iterable[NDArray[Any]]]
) -> NDArray[Any]:
    """The array called `name`: from its file, or else made, in pieces along its first axis, and written.

    A file that is damaged is made anew. Where none can be written the array is kept in memory, and a
    warning says why. What comes back may be written to; its file does not change.
    """
    path = cache_folder() / f"{name}.npy"
    found = opened(path)
    if found is not None and found.shape == shape and found.dtype == dtype:
        return found
    try:
        write(path, shape, dtype, make)
        found = opened(path)
    except OSError as error:
        log.warning(
            "%s: %s; %.1f GB are kept in memory instead (the variable %s names another folder)",
            path.parent, (error.strerror or "cannot be written").lower(),
            count_bytes(shape, dtype) / 1e9, FOLDER,
        )  # fmt: skip
    return np.concatenate([np.empty((0, *shape[1:]), dtype), *make()]) if found is None else found


def opened(path: Path) -> NDArray[Any] | None:
    """A file's array, mapped rather than read; None if there is none, or another than was written."""
    try:
        content = np.memmap(path, np.uint8, "r").data
        if hashlib.sha256(content[:-DIGEST]).digest() != content[-DIGEST:]:
            return None
        return np.asarray(np.load(path, mmap_mode="c"))
    except (OSError, ValueError):
        return None


def write(path: Path, shape: Shape, dtype: type[Any], make: Callable[[], Iterable[NDArray[Any]]]) -> None:
    """Write a .npy with its sha256 behind it. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_abandoned(path.parent)
    if shutil.disk_usage(path.parent).free < count_bytes(shape, dtype):
        raise OSError(errno.ENOSPC, "the disk is too full")
    with atomic_file(path) as file:
        header = {"descr": np.dtype(dtype).str, "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        file.seek(0)
        digest = hashlib.sha256(file.read())
        for piece in make():
            content = np.ascontiguousarray(piece, dtype).data
            digest.update(content)
            file.write(content)
        file.write(digest.digest())


def count_bytes(shape: Shape, dtype: type[Any]) -> int:
    """Bytes of an array."""
    return int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
