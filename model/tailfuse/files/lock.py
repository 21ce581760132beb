"""A folder that one process at a time writes into."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

LOCK = ".lock"


class FolderInUse(Exception):
    """Another process holds the folder."""


@contextlib.contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Make a folder and hold it. If it is empty at the end, remove it and the parents that were made for it.

    The operating system releases the lock of a process that died. Raises FolderInUse, OSError.
    """
    made = [each for each in (folder, *folder.parents) if not each.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise FolderInUse from None
    try:
        yield
    finally:
        (folder / LOCK).unlink(missing_ok=True)  # before the release: after it the file may be another's
        lock.release()
        for each in made:
            with contextlib.suppress(OSError):  # it is not empty
                each.rmdir()
