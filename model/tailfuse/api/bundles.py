"""Write the bundle of an open model to a folder, to a .zip, or to bytes."""

import shutil
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from tailfuse_service.bundle import (
    Bundle,
    BundleError,
    Manifest,
    RuntimeName,
    atomic_folder,
    hash_manifest,
    open_bundle,
    pack,
    read_manifest,
)
from tailfuse_service.bundle.files import unpacked

from tailfuse.errors import UserError

WriteBundle = Callable[[Path], object]  # writes the files of a bundle to a new folder, whole or not at all


def copy_bundle(source: Path, manifest: Manifest, target: Path) -> None:
    """Copy a bundle, a folder or .zip, to a new folder. Raises BundleError if it is another one now."""
    with unpacked(source) as folder:
        if hash_manifest(read_manifest(folder)) != hash_manifest(manifest):
            raise BundleError(f"{source} was replaced since it was opened; load it again")
        with atomic_folder(target) as copy:
            shutil.copytree(folder, copy, dirs_exist_ok=True)


def save_bundle(write: WriteBundle, target: Path) -> None:
    """Write a bundle to a new folder, or to a .zip. Raises UserError if something is there."""
    if target.exists():
        raise UserError(f"{target} is there already; choose another path")
    if not target.absolute().parent.is_dir():
        raise UserError(f"{target}: the folder {target.parent} does not exist")
    if target.suffix != ".zip":
        write(target)
        return
    with tempfile.TemporaryDirectory(prefix="tailfuse-") as folder:
        write(Path(folder) / "bundle")
        pack(Path(folder) / "bundle", target)


def pack_bytes(write: WriteBundle) -> bytes:
    """Return a bundle as the bytes of a .zip."""
    with tempfile.TemporaryDirectory(prefix="tailfuse-") as folder:
        archive = Path(folder) / "bundle.zip"
        save_bundle(write, archive)
        return archive.read_bytes()


def open_bytes(
    packed: bytes, runtime: RuntimeName, prior: dict[str, float] | None
) -> tuple[Bundle, WriteBundle]:
    """Open the bytes of a .zip; return the bundle, and the function that writes it. Raises BundleError."""
    with tempfile.TemporaryDirectory(prefix="tailfuse-") as folder:
        archive = Path(folder) / "bundle.zip"
        archive.write_bytes(packed)
        bundle = open_bundle(archive, runtime=runtime, threads=0, prior=prior)
    return bundle, partial(unpack_bytes, packed, bundle.manifest)


def unpack_bytes(packed: bytes, manifest: Manifest, target: Path) -> None:
    """Write the bytes of a .zip as a folder."""
    with tempfile.TemporaryDirectory(prefix="tailfuse-") as folder:
        archive = Path(folder) / "bundle.zip"
        archive.write_bytes(packed)
        copy_bundle(archive, manifest, target)
