"""Stores that are folders to fsspec: S3, Google Cloud Storage, Azure, Hugging Face and file://."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tailfuse_service.bundle import MANIFEST
from tailfuse_service.stores.address import Address
from tailfuse_service.stores.store import (
    CONNECT_S,
    PIECE_BYTES,
    READ_S,
    RemoteBundle,
    Report,
    report_nothing,
)

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

BLOCK_BYTES = 8 * PIECE_BYTES  # of one request
# Without an instance of its own, a store would share its listings with whoever uses fsspec in this process.
OPTIONS: dict[str, dict[str, Any]] = {
    "file": {"auto_mkdir": True},
    "gs": {"requests_timeout": READ_S},
    "s3": {"config_kwargs": {"connect_timeout": CONNECT_S, "read_timeout": READ_S}},
}


def open_fsspec_store(address: Address) -> "FsspecStore":
    """Return the store of an address. Credentials come from the variables of each library.

    Raises ImportError if the package of the scheme is not installed, PermissionError if it wants credentials.
    """
    import fsspec

    options = OPTIONS.get(address.scheme, {})
    try:
        files = fsspec.filesystem(address.scheme, skip_instance_cache=True, **options)
    except ValueError as error:  # of Azure, where it has no credentials
        raise PermissionError(str(error)) from error
    return FsspecStore(files, address.path)


class FsspecStore:
    """A folder of a file system of fsspec: one bundle, or a folder for each bundle."""

    def __init__(self, files: "AbstractFileSystem", root: str) -> None:
        self._files = files
        self._root = root

    def find(self) -> Mapping[str, RemoteBundle]:
        """Return the bundle at the root, or the folders below it. Raises what fsspec raises."""
        self._files.invalidate_cache()  # Hugging Face's remembers the size of a manifest that has changed
        at_root = FsspecBundle(self._files, self._root)
        if has_manifest(at_root):
            return {"": at_root}
        names = [
            entry["name"].rstrip("/").rpartition("/")[2]
            for entry in self._files.ls(self._root, detail=True)
            if entry["type"] == "directory"
        ]
        return {name: FsspecBundle(self._files, f"{self._root}/{name}") for name in names}

    def write(self, files: Sequence[Path], report: Report) -> None:
        """Write the files into the folder, which must be empty. Raises FileExistsError."""
        self._check_empty()
        written: list[str] = []
        try:
            for file in files:
                target = f"{self._root}/{file.name}"
                if file is files[-1]:
                    self._files.pipe_file(target, file.read_bytes(), mode="create")
                    report(file.name, file.stat().st_size)
                else:
                    written.append(target)
                    self._write(file, target, report)
        except BaseException:
            for target in written:
                with contextlib.suppress(Exception):  # it may not have come to be
                    self._files.rm_file(target)
            raise

    def list_files(self) -> list[str]:
        """List the names of the files in the folder; none if it is not there. Raises what fsspec raises."""
        self._files.invalidate_cache()
        try:
            entries = self._files.ls(self._root, detail=True)
        except FileNotFoundError:
            return []
        return [entry["name"].rpartition("/")[2] for entry in entries if entry["type"] == "file"]

    def replace(self, file: Path) -> None:
        """Put a file into the folder, whole or not at all, in place of one of its name."""
        with self._files.transaction:
            self._write(file, f"{self._root}/{file.name}", report_nothing)

    def remove(self, name: str) -> None:
        """Remove a file of the folder."""
        self._files.rm_file(f"{self._root}/{name}")

    def stream(self, name: str) -> Iterator[bytes]:
        """Yield a file of the folder in pieces. Raises what fsspec raises."""
        return FsspecBundle(self._files, self._root).stream(name)

    def _write(self, file: Path, target: str, report: Report) -> None:
        with file.open("rb") as source, self._files.open(target, "wb", block_size=BLOCK_BYTES) as copy:
            while piece := source.read(PIECE_BYTES):
                copy.write(piece)
                report(file.name, len(piece))

    def _check_empty(self) -> None:
        self._files.invalidate_cache()
        try:
            entries = self._files.ls(self._root, detail=True)
        except FileNotFoundError:
            return
        names = [entry["name"].rstrip("/").rpartition("/")[2] for entry in entries]
        if MANIFEST in names:
            raise FileExistsError(
                "a bundle is there already; push to a new folder, such as one for each version"
            )
        if names:
            raise FileExistsError(f"'{names[0]:.80}' is there already; push to an empty or new folder")


class FsspecBundle:
    """A folder with the files of a bundle."""

    def __init__(self, files: "AbstractFileSystem", folder: str) -> None:
        self._files = files
        self._folder = folder

    def stream(self, file: str) -> Iterator[bytes]:
        """Yield a file in pieces. Raises what fsspec raises."""
        path = f"{self._folder}/{file}"
        with self._files.open(path, "rb", block_size=BLOCK_BYTES, cache_type="readahead") as content:
            while piece := content.read(PIECE_BYTES):
                yield piece


def has_manifest(bundle: RemoteBundle) -> bool:
    """Return whether a bundle is there. A failure is no answer: raises what the store raises."""
    pieces = bundle.stream(MANIFEST)
    try:
        return next(pieces, None) is not None
    except FileNotFoundError:
        return False
    finally:
        getattr(pieces, "close", lambda: None)()
