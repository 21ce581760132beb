"""Write a bundle to a folder, to a .zip, or to bytes."""

import shutil
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

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

T = TypeVar("T")
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
    write_packed(write, target)


def write_packed(write: Callable[[Path], T], target: Path) -> T:
    """Call `write` with a new folder, and return its result: `target`, or one that is packed as that .zip."""
    if target.suffix != ".zip":
        return write(target)
    with tempfile.TemporaryDirectory(prefix="tailfuse-") as folder:
        result = write(Path(folder) / "bundle")
        pack(Path(folder) / "bundle", target)
    return result


def check_new(target: Path) -> None:
    """Check that no bundle is lost: a .zip is replaced, a folder never. Raises UserError."""
    if target.exists() and target.suffix != ".zip":
        raise UserError(f"{target} is there already; choose another --out")


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
