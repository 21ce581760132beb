"""The cache of fetched bundles: a folder for each, named by its digest. Services and workers may share it.

<cache>/bundles/<digest>/           the files of a bundle; never changed once it is there
<cache>/mirrors/<address>/<name>    a link to one of them, which a service follows
"""

import contextlib
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tailfuse_service.bundle import BundleError
from tailfuse_service.bundle.atomic import ABANDONED_S

VARIABLE = "TAILFUSE_CACHE"
FETCH_PREFIX = ".fetch-"


def find_cache(chosen: Path | None = None) -> Path:
    """Return the chosen folder, else `stores` in that of TAILFUSE_CACHE or in ~/.cache/tailfuse."""
    if chosen is not None:
        return chosen
    return Path(os.environ.get(VARIABLE) or Path.home() / ".cache" / "tailfuse") / "stores"


class BundleCache:
    """Folders of bundles by digest, and links to them. Raises BundleError if it cannot be written."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self._bundles = self.folder / "bundles"
        with self.explain_full():
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._bundles.mkdir(exist_ok=True)
            (self.folder / "mirrors").mkdir(exist_ok=True)

    def make_mirror(self, key: str) -> Path:
        """Return the folder of links for one address."""
        mirror = self.folder / "mirrors" / key
        with self.explain_full():
            mirror.mkdir(exist_ok=True)
        return mirror

    def find(self, digest: str) -> Path | None:
        """Return the folder of a bundle; None if it is not there."""
        folder = self._bundles / digest
        return folder if folder.is_dir() else None

    def drop(self, digest: str) -> None:
        """Remove a damaged bundle."""
        removed = Path(tempfile.mkdtemp(prefix=FETCH_PREFIX, dir=self._bundles))
        with contextlib.suppress(OSError):
            os.replace(self._bundles / digest, removed / "damaged")
        shutil.rmtree(removed, ignore_errors=True)

    @contextlib.contextmanager
    def add(self, digest: str) -> Iterator[Path]:
        """Make a folder to fill. It becomes the bundle's when the block ends, and vanishes if it raises."""
        with self.explain_full():
            temporary = Path(tempfile.mkdtemp(prefix=FETCH_PREFIX, dir=self._bundles))
        try:
            yield temporary
            with self.explain_full(), contextlib.suppress(FileExistsError, NotADirectoryError):
                sync_files(temporary)
                if self.find(digest) is None:  # another process may have been faster
                    os.rename(temporary, self._bundles / digest)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    def link(self, link: Path, digest: str) -> bool:
        """Make a mirror's entry lead to a bundle. Return False if the bundle has gone."""
        with self._lock():
            folder = self._bundles / digest
            try:
                os.utime(folder)  # it is in use: see `prune`
            except OSError:
                return False
            with self.explain_full():
                temporary = link.with_name(f".{link.name}.{os.getpid()}.link")
                temporary.unlink(missing_ok=True)
                temporary.symlink_to(os.path.relpath(folder, link.parent))
                os.replace(temporary, link)
        return True

    def prune(self) -> None:
        """Remove what killed processes have left, and bundles that no mirror has led to for a day."""
        with contextlib.suppress(OSError), self._lock():
            used = {
                Path(os.readlink(link)).name
                for link in (self.folder / "mirrors").glob("*/*")
                if link.is_symlink()
            }
            for folder in self._bundles.iterdir():
                if folder.name not in used and time.time() - folder.stat().st_mtime > ABANDONED_S:
                    shutil.rmtree(folder, ignore_errors=True)

    @contextlib.contextmanager
    def explain_full(self) -> Iterator[None]:
        """Turn an OSError into a BundleError that names the folder and the setting."""
        try:
            yield
        except OSError as error:
            raise BundleError(
                f"the cache {self.folder} cannot be written: {error.strerror or error}; "
                "--store-cache (TAILFUSE_STORE_CACHE) names another folder"
            ) from None

    @contextlib.contextmanager
    def _lock(self) -> Iterator[None]:
        with self.explain_full():
            file = os.open(self.folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)  # held for a moment only
            yield
        finally:
            os.close(file)


def sync_files(folder: Path) -> None:
    """Write the files of a folder to the disk: a power cut must not leave damaged ones behind the rename."""
    for file in folder.iterdir():
        with file.open("rb") as content:
            os.fsync(content.fileno())
