"""Fetch one bundle: nothing of it is used before its signature, its names and its sums are checked."""

import contextlib
import hashlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from tailfuse_service.bundle import MANIFEST, BundleError, Manifest, read_manifest
from tailfuse_service.bundle.files import MAX_UNPACKED, parse_manifest
from tailfuse_service.bundle.signature import SIGNATURE
from tailfuse_service.stores.address import Address
from tailfuse_service.stores.store import RemoteBundle, Report, explain_failures, is_denied, report_nothing

MAX_MANIFEST_BYTES = 64 * 1024 * 1024  # one of 1,000 classes has 10 MB, most of it `held_out`
MAX_SIGNATURE_BYTES = 1024
MAX_FILES = 64


class Head(NamedTuple):
    """The manifest and the signature of a bundle in a store."""

    manifest: bytes
    signature: bytes | None

    @property
    def digest(self) -> str:
        """The name of the bundle in a cache: the manifest has the sums of all other files."""
        return hashlib.sha256(self.manifest + b"\n" + (self.signature or b"")).hexdigest()


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one fetch; nothing more is fetched once `cancelled` is set."""

    max_bytes: int = MAX_UNPACKED
    cancelled: threading.Event | None = None

    def check_time(self) -> None:
        """Raises TimeoutError if the fetch was cancelled."""
        if self.cancelled is not None and self.cancelled.is_set():
            raise TimeoutError("cancelled")


def read_head(remote: RemoteBundle, limits: Limits) -> Head:
    """Read the manifest and the signature. Raises BundleError, and what the store raises."""
    manifest = read_file(remote, MANIFEST, MAX_MANIFEST_BYTES, limits)
    try:
        return Head(manifest, read_file(remote, SIGNATURE, MAX_SIGNATURE_BYTES, limits))
    except FileNotFoundError:
        return Head(manifest, None)
    except Exception as error:
        # Whoever may read but not list gets 403 for a file that does not exist. A signature that is wanted
        # and cannot be read is refused as a missing one.
        if is_denied(error):
            return Head(manifest, None)
        raise


def fetch_bundle(
    remote: RemoteBundle,
    head: Head,
    folder: Path,
    limits: Limits,
    trusted_keys: Path | None = None,
    report: Report = report_nothing,
) -> Manifest:
    """Fetch a bundle into an empty folder. Raises BundleError, OSError, and what the store raises.

    Files that the manifest does not list are not fetched. What has changed since `head` was read has other
    sums, and is refused.
    """
    (folder / MANIFEST).write_bytes(head.manifest)
    if head.signature is not None:
        (folder / SIGNATURE).write_bytes(head.signature)
    manifest = parse_manifest(folder, trusted_keys)
    if len(manifest.files) > MAX_FILES:
        raise BundleError(f"the manifest lists {len(manifest.files)} files, at most {MAX_FILES} are fetched")
    left = limits.max_bytes
    for name in manifest.files:
        try:
            with (folder / name).open("xb") as file:
                for piece in limit_stream(remote, name, left, limits):
                    file.write(piece)
                    left -= len(piece)
                    report(name, len(piece))
        except FileNotFoundError:
            raise BundleError(f"{name} is missing, though the manifest lists it") from None
    return read_manifest(folder, trusted_keys)


def read_file(remote: RemoteBundle, name: str, max_bytes: int, limits: Limits) -> bytes:
    """Return a small file whole. Raises BundleError if it is longer."""
    return b"".join(limit_stream(remote, name, max_bytes, limits))


def limit_stream(remote: RemoteBundle, name: str, max_bytes: int, limits: Limits) -> Iterator[bytes]:
    """Yield the pieces of a file. Raises BundleError as soon as there are more bytes than allowed."""
    left = max_bytes
    for piece in remote.stream(name):
        limits.check_time()
        left -= len(piece)
        if left < 0:
            raise BundleError(
                f"{name} has more bytes than the limit allows "
                f"({limits.max_bytes // 2**20:,} MiB for a bundle, --store-max-mb)"
            )
        yield piece


@contextlib.contextmanager
def explain_fetch(address: Address, folder: Path) -> Iterator[None]:
    """Make errors of a fetch name the address instead of the temporary folder."""
    try:
        with explain_failures(address):
            yield
    except BundleError as error:
        detail = error.detail.replace(str(folder), str(address))
        if str(address) not in detail:
            detail = f"{address}: {detail}"
        if "is damaged" in detail:
            detail += "; it is damaged in the store, or was changed while it was fetched"
        raise BundleError(detail) from error
