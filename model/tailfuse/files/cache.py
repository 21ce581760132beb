"""Arrays that took long to make, kept on disk. All of the folder may be deleted at any time."""

import errno
import hashlib
import logging
import mmap
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import IO, Any

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray
from tailfuse_service.bundle.atomic import atomic_file, remove_abandoned

FOLDER = "TAILFUSE_CACHE"
DIGEST = 32  # bytes of a sha256

Shape = tuple[int, ...]
Pieces = tuple[NDArray[Any], NDArray[np.int64]]  # the values of rows end to end, and the rows' lengths
log = logging.getLogger("tailfuse")


def cache_folder() -> Path:
    """Return the folder that the variable TAILFUSE_CACHE names, or ~/.cache/tailfuse."""
    return Path(os.environ.get(FOLDER) or Path.home() / ".cache" / "tailfuse")


def make_key(*parts: object) -> str:
    """A name for what these parts say, each by its repr: the same for the same parts, and for no others."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def cached(
    name: str, shape: Shape, dtype: type[Any], make: Callable[[], Iterable[NDArray[Any]]]
) -> NDArray[Any]:
    """The array called `name`: from its file, or else made, in pieces along its first axis, and written.

    Of several processes that want it one makes it, and the others wait. A file that is damaged is made anew.
    Where none can be written the array is kept in memory, and a warning says why. What comes back may be
    written to; its file does not change.
    """
    path = cache_folder() / f"{name}.npy"

    def find() -> NDArray[Any] | None:
        found = opened(path)
        return found if found is not None and found.shape == shape and found.dtype == dtype else None

    found = find()
    if found is not None:
        return found
    try:
        with hold(path):
            found = find()
            if found is None:
                write(path, shape, dtype, make())
                found = opened(path)
    except OSError as error:
        warn_of_memory(path, error, f"{count_bytes(shape, dtype) / 1e9:.1f} GB")
    return np.concatenate([np.empty((0, *shape[1:]), dtype), *make()]) if found is None else found


def cached_rows(name: str, n_rows: int, make: Callable[[], Iterable[Pieces]]) -> Pieces:
    """The rows called `name`, which may have different lengths: from two files, or else made, and written.

    What comes back are the values of all rows end to end (N, ...), and the length of each row (n_rows,), -1
    where it is absent; `make` yields the same of some rows after another. Else it is as `cached`.
    """
    path = cache_folder() / f"{name}.npy"
    lengths_path = path.with_name(f"{name}-lengths.npy")

    def find() -> Pieces | None:
        values, lengths = opened(path), opened(lengths_path)
        if values is None or lengths is None or lengths.shape != (n_rows,):
            return None
        return values, lengths

    found = find()
    if found is not None:
        return found
    seen: list[NDArray[np.int64]] = []

    def write_pieces() -> Iterator[NDArray[Any]]:
        for values, lengths in make():
            seen.append(lengths)
            if len(values):
                yield values

    try:
        with hold(path):
            found = find()
            if found is None:
                write_growing(path, write_pieces())
                write(lengths_path, (n_rows,), np.int64, seen)
                found = find()
    except OSError as error:
        warn_of_memory(path, error, f"{n_rows:,} rows")
    if found is not None:
        return found
    made = list(make())
    filled = [values for values, _ in made if len(values)]
    return np.concatenate(filled) if filled else np.empty(0), np.concatenate([lengths for _, lengths in made])


@contextmanager
def hold(path: Path) -> Iterator[None]:
    """Hold a file's name while the file is made. Other processes wait: they will find it. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = path.with_name(f".{path.name}.lock")
    with FileLock(lock):
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)


def warn_of_memory(path: Path, error: OSError, what: str) -> None:
    """Warn that the cache cannot be written."""
    log.warning(
        "%s: %s; %s are kept in memory instead (the variable %s names another folder)",
        path.parent, (error.strerror or "cannot be written").lower(), what, FOLDER,
    )  # fmt: skip


def opened(path: Path) -> NDArray[Any] | None:
    """A file's array, mapped rather than read; None if there is none, or another than was written."""
    try:
        content = np.memmap(path, np.uint8, "r").data
        if hashlib.sha256(content[:-DIGEST]).digest() != content[-DIGEST:]:
            return None
        array = np.load(path, mmap_mode="c")
    except (OSError, ValueError):
        return None
    # Batches take rows at random. What the system would read ahead for each is megabytes, which it soon
    # throws out again where memory is limited.
    array.base.madvise(mmap.MADV_RANDOM)
    return np.asarray(array)


def write(path: Path, shape: Shape, dtype: type[Any], pieces: Iterable[NDArray[Any]]) -> None:
    """Write pieces along the first axis as a .npy with its sha256 behind it. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if shutil.disk_usage(path.parent).free < count_bytes(shape, dtype):
        raise OSError(errno.ENOSPC, "the disk is too full")
    write_growing(path, chain([np.empty((0, *shape[1:]), dtype)], pieces))


def write_growing(path: Path, pieces: Iterable[NDArray[Any]]) -> None:
    """Write what `write` does, of a length that shows at the end; the first piece decides the type."""
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_abandoned(path.parent)
    with atomic_file(path) as file:
        dtype: np.dtype[Any] = np.dtype(np.uint8)
        shape: Shape = (0,)
        for at, piece in enumerate(pieces):
            if not at:
                dtype, shape = piece.dtype, (0, *piece.shape[1:])
                write_header(file, dtype, shape)
            file.write(np.ascontiguousarray(piece, dtype).data)
            shape = (shape[0] + len(piece), *shape[1:])
        file.seek(0)
        write_header(file, dtype, shape)
        file.seek(0)
        digest = hashlib.file_digest(file, "sha256").digest()
        file.seek(0, os.SEEK_END)
        file.write(digest)


def write_header(file: IO[bytes], dtype: np.dtype[Any], shape: Shape) -> None:
    """Write the header of a .npy, whose size does not depend on the length of the first axis."""
    header = {"descr": dtype.str, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)


def count_bytes(shape: Shape, dtype: type[Any]) -> int:
    """Bytes of an array."""
    return int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
