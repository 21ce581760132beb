"""Copy one bundle to a store, or from a store to a folder: `tailfuse push` and `tailfuse pull`."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tailfuse_service.bundle import MANIFEST, BundleError, Manifest, pack, read_manifest
from tailfuse_service.bundle.atomic import atomic_folder
from tailfuse_service.bundle.files import unpacked
from tailfuse_service.bundle.signature import SIGNATURE
from tailfuse_service.stores.address import Address
from tailfuse_service.stores.fetch import Head, Limits, explain_fetch, fetch_bundle, read_head
from tailfuse_service.stores.open_store import open_store
from tailfuse_service.stores.store import (
    RemoteBundle,
    Report,
    explain_failures,
    report_nothing,
)


@dataclass(frozen=True, slots=True)
class Transfer:
    """A bundle that was copied. `digest` is the sha256 of its manifest and signature."""

    address: str
    name: str
    version: str
    digest: str
    files: int
    bytes: int


def push_bundle(path: Path, address: Address, report: Report = report_nothing) -> Transfer:
    """Copy a bundle, a folder or .zip, to an address where nothing is yet. Raises BundleError.

    The manifest is written last: a service that follows the address sees a whole bundle or none.
    """
    with unpacked(path) as folder:
        manifest = read_manifest(folder)
        names = sorted(set(manifest.files) | ({SIGNATURE} if (folder / SIGNATURE).exists() else set()))
        with explain_failures(address):
            open_store(address).write([folder / name for name in [*names, MANIFEST]], report)
        return describe_transfer(address, folder, manifest)


def pull_bundle(
    address: Address,
    out: Path,
    *,
    trusted_keys: Path | None = None,
    limits: Limits | None = None,
    report: Report = report_nothing,
) -> Transfer:
    """Copy the bundle at an address into a new folder, or a new .zip. Raises BundleError."""
    if out.exists():
        raise BundleError(f"{out} is there already; choose another path")
    limits = limits or Limits()
    with explain_failures(address):
        remote = choose_bundle(address, open_store(address).find())
    if out.suffix != ".zip":
        return pull_folder(address, remote, out, trusted_keys, limits, report)
    with tempfile.TemporaryDirectory(prefix="tailfuse-") as temporary:
        folder = Path(temporary) / "bundle"
        transfer = pull_folder(address, remote, folder, trusted_keys, limits, report)
        pack(folder, out)
    return transfer


def pull_folder(
    address: Address,
    remote: RemoteBundle,
    out: Path,
    trusted_keys: Path | None,
    limits: Limits,
    report: Report,
) -> Transfer:
    """Fetch a bundle into a new folder, whole or not at all. Raises BundleError, OSError."""
    with atomic_folder(out) as folder:
        with explain_fetch(address, folder):
            manifest = fetch_bundle(remote, read_head(remote, limits), folder, limits, trusted_keys, report)
        return describe_transfer(address, folder, manifest)


def choose_bundle(address: Address, found: Mapping[str, RemoteBundle]) -> RemoteBundle:
    """Return the only bundle. Raises BundleError, which lists several."""
    if "" in found:
        return found[""]
    if not found:
        raise BundleError(f"{address} holds no bundle: there is no {MANIFEST}, and no folder")
    names = ", ".join(sorted(found)[:10])
    raise BundleError(
        f"{address} holds no {MANIFEST}, but {names}: name one, as in {address}/{sorted(found)[0]}"
    )


def describe_transfer(address: Address, folder: Path, manifest: Manifest) -> Transfer:
    """Return what was copied."""
    signature = folder / SIGNATURE
    head = Head((folder / MANIFEST).read_bytes(), signature.read_bytes() if signature.exists() else None)
    files = list(folder.iterdir())
    n_bytes = sum(file.stat().st_size for file in files)
    return Transfer(str(address), manifest.name, manifest.version, head.digest, len(files), n_bytes)
