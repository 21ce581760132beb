"""Bundles on disk: read and checked, written whole or not at all."""

import contextlib
import gzip
import hashlib
import stat
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from pydantic import ValidationError

from tailfuse_service.bundle.atomic import atomic_file
from tailfuse_service.bundle.manifest import FORMAT_VERSION, Manifest
from tailfuse_service.bundle.runtime import RuntimeName
from tailfuse_service.bundle.signature import SIGNATURE, check_signature, read_private_key, write_signature
from tailfuse_service.errors import BundleError

MANIFEST = "manifest.json"
CARD = "MODEL_CARD.md"
MAX_CARD_BYTES = 1024 * 1024  # one of 1,000 classes has 60 KB
REPORT = "report.html"
MAX_REPORT_BYTES = 16 * 1024 * 1024  # one of 1,000 classes has less than 5 MB
GRAPHS: dict[RuntimeName, str] = {"onnx": "model.onnx", "torchscript": "model.ts"}
MAX_UNPACKED = 4 * 1024**3  # bytes: an ONNX file has 2 GiB at most, and there are two graphs
ENCRYPTED = 0x1  # the flag of a .zip's entry


def sha256(path: Path) -> str:
    """Hex digest of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_manifest(folder: Path, trusted_keys: Path | None = None) -> Manifest:
    """Return the manifest of a bundle's folder. Every file must be listed in it and have its hash.

    With `trusted_keys` one of these must have signed it. Raises BundleError.
    """
    manifest = parse_manifest(folder, trusted_keys)
    for name, expected in manifest.files.items():
        file = folder / name
        if not file.is_file():
            raise BundleError(f"{folder}: {name} is missing")
        if sha256(file) != expected:
            raise BundleError(f"{folder}: {name} is damaged: its sha256 is not the manifest's")
    # A graph may name further files, which nobody has checked.
    for other in sorted({file.name for file in folder.iterdir()} - {MANIFEST, SIGNATURE, *manifest.files}):
        raise BundleError(
            f"{folder}: '{other:.80}' is not listed in {MANIFEST}: it does not belong to the bundle"
        )
    return manifest


def parse_manifest(folder: Path, trusted_keys: Path | None = None) -> Manifest:
    """Return the manifest of a folder whose other files are not looked at. Raises BundleError."""
    path = folder / MANIFEST
    try:
        content = path.read_bytes()
        if trusted_keys is not None:
            check_signature(folder, content, trusted_keys)
        manifest = Manifest.model_validate_json(content)
    except OSError as error:
        inner = folder / "bundle"  # where a training writes it, in the folder of its run
        hint = f"; did you mean {inner}?" if (inner / MANIFEST).is_file() else ""
        raise BundleError(f"{folder} is not a bundle: {MANIFEST}: {error.strerror}{hint}") from None
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "the document"
        if key == "format_version":
            raise BundleError(
                f"{path}: format_version {first['input']}, this tailfuse reads {FORMAT_VERSION}"
            ) from None
        raise BundleError(f"{path}: {key}: {first['msg']}") from None
    for name in manifest.files:
        if not is_plain_name(name) or name in (MANIFEST, SIGNATURE):
            raise BundleError(f"{path}: files: '{name:.80}' is not a plain file name")
    return manifest


def is_plain_name(name: str) -> bool:
    """Return whether a name is that of a file in the folder itself, on any system."""
    return (
        PurePosixPath(name).name == name and name not in ("", "..") and "\\" not in name and "\0" not in name
    )


def read_card(folder: Path, manifest: Manifest) -> str | None:
    """Return the model card of a checked bundle; None if it has none, or one that is too long to keep."""
    file = folder / CARD
    if CARD not in manifest.files or file.stat().st_size > MAX_CARD_BYTES:
        return None
    return file.read_text("utf-8", errors="replace")


def read_report(folder: Path, manifest: Manifest) -> bytes | None:
    """Return the report of a checked bundle, compressed by gzip; None without one or for a very long one.

    Raises BundleError if the file is not the one that was checked.
    """
    file = folder / REPORT
    if REPORT not in manifest.files or file.stat().st_size > MAX_REPORT_BYTES:
        return None
    content = file.read_bytes()
    if hashlib.sha256(content).hexdigest() != manifest.files[REPORT]:
        raise BundleError(f"{folder}: {REPORT} was replaced while the bundle was opened")
    return gzip.compress(content, mtime=0)


def hash_manifest(manifest: Manifest) -> str:
    """Return the hex digest of what a manifest says, which includes the hash of every file of its bundle."""
    return hashlib.sha256(manifest.model_dump_json().encode()).hexdigest()


@contextlib.contextmanager
def unpacked(path: Path) -> Iterator[Path]:
    """The folder of a bundle; a .zip is unpacked into a temporary one. Raises BundleError."""
    if path.is_dir():
        yield path
        return
    if not path.is_file():
        raise BundleError(f"{path}: no such bundle")
    with tempfile.TemporaryDirectory(prefix="tailfuse-") as folder:
        try:
            with zipfile.ZipFile(path) as archive:
                check_entries(path, archive.infolist())
                archive.extractall(folder)
        except BundleError:
            raise
        except OSError as error:  # a full disk, mostly
            raise BundleError(f"{path} cannot be unpacked: {error.strerror or error}") from None
        except Exception:  # of a damaged archive, zipfile and zlib raise whatever they like
            raise BundleError(f"{path} is neither a bundle's folder nor a .zip") from None
        yield Path(folder)


def check_entries(path: Path, entries: Sequence[zipfile.ZipInfo]) -> None:
    """Plain files of different names, by what the archive says of them: nothing is unpacked yet.

    More bytes than an entry says it has are not unpacked either. Raises BundleError.
    """
    names: set[str] = set()
    for entry in entries:
        name = entry.filename
        if not is_plain_name(name):
            raise BundleError(f"{path}: '{name:.80}' does not belong into a bundle")
        if stat.S_IFMT(entry.external_attr >> 16) not in (0, stat.S_IFREG):
            raise BundleError(f"{path}: '{name:.80}' is not a plain file")
        if name in names:
            raise BundleError(f"{path}: '{name:.80}' is there twice")
        if entry.flag_bits & ENCRYPTED:
            raise BundleError(f"{path}: '{name:.80}' is encrypted")
        names.add(name)
    n_bytes = sum(entry.file_size for entry in entries)
    if n_bytes > MAX_UNPACKED:
        raise BundleError(f"{path} unpacks to {n_bytes:,} bytes, at most {MAX_UNPACKED:,} are taken")


def pack(folder: Path, archive: Path) -> None:
    """Pack a bundle's folder as a .zip, the same bytes for the same bundle."""
    with atomic_file(archive) as content, zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as packed:
        for file in sorted(folder.iterdir()):
            entry = zipfile.ZipInfo(file.name, (1980, 1, 1, 0, 0, 0))
            entry.external_attr = 0o644 << 16
            packed.writestr(entry, file.read_bytes(), zipfile.ZIP_DEFLATED)


def sign_bundle(path: Path, key: Path) -> Manifest:
    """Sign the bundle in a folder or .zip, whose files are checked first. Raises BundleError."""
    try:
        private_key = read_private_key(key)
    except ValueError as error:
        raise BundleError(str(error)) from None
    with unpacked(path) as folder:
        manifest = read_manifest(folder)
        write_signature(folder, (folder / MANIFEST).read_bytes(), private_key)
        if folder != path:
            pack(folder, path)
    return manifest
