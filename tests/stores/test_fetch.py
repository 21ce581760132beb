"""A store that lies, is endless, or changes while it is read: nothing of it is used."""

import json
import threading
from pathlib import Path
from typing import Any

import pytest
from tailfuse_service.bundle import BundleError, Manifest
from tailfuse_service.bundle.files import sign_bundle
from tailfuse_service.bundle.signature import write_key_pair
from tailfuse_service.stores.fetch import Limits, fetch_bundle, read_head

from tests.support.bundles import write_tiny_bundle
from tests.support.remote import PIECE, EndlessRemote, FakeRemote

LIMITS = Limits(max_bytes=1_000_000)


def fetch(remote: FakeRemote, folder: Path, **options: Any) -> Manifest:
    folder.mkdir()
    return fetch_bundle(remote, read_head(remote, LIMITS), folder, LIMITS, **options)


def list_files(tiny_bundle: Path, **files: str) -> bytes:
    """Return the manifest with further files, or other sums."""
    manifest = json.loads((tiny_bundle / "manifest.json").read_bytes())
    manifest["files"] |= files
    return json.dumps(manifest).encode()


def test_a_bundle_is_fetched_with_what_its_manifest_lists_and_nothing_else(
    tiny_bundle: Path, tmp_path: Path
) -> None:
    remote = FakeRemote(tiny_bundle, notes_txt=b"secret plans")
    assert fetch(remote, tmp_path / "new").version == "3"
    assert sorted(file.name for file in (tmp_path / "new").iterdir()) == ["manifest.json", "model.onnx"]
    assert "notes.txt" not in remote.read


@pytest.mark.parametrize(
    "name", ["../evil", "..", "a/b", "/etc/passwd", "a\\b", "manifest.json", "manifest.sig", "", "a\0b"]
)
def test_a_name_that_leads_elsewhere_is_refused_before_it_is_fetched(
    tiny_bundle: Path, tmp_path: Path, name: str
) -> None:
    remote = FakeRemote(tiny_bundle, manifest_json=list_files(tiny_bundle, **{name: "0" * 64}))
    with pytest.raises(BundleError, match="is not a plain file name"):
        fetch(remote, tmp_path / "new")
    assert set(remote.read) == {"manifest.json", "manifest.sig"}


def test_a_file_with_another_sum_is_refused(tiny_bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"model\.onnx is damaged"):
        fetch(FakeRemote(tiny_bundle, model_onnx=b"other"), tmp_path / "new")


def test_a_file_that_is_listed_and_not_there_is_named(tiny_bundle: Path, tmp_path: Path) -> None:
    remote = FakeRemote(tiny_bundle, model_onnx=FileNotFoundError("no"))
    with pytest.raises(BundleError, match=r"model\.onnx is missing, though the manifest lists it"):
        fetch(remote, tmp_path / "new")


def test_a_file_that_changes_behind_the_manifest_is_refused(tiny_bundle: Path, tmp_path: Path) -> None:
    remote = FakeRemote(tiny_bundle)
    head = read_head(remote, LIMITS)
    remote.files = FakeRemote(write_tiny_bundle(tmp_path / "b", b"another graph", version="4")).files
    (tmp_path / "new").mkdir()
    with pytest.raises(BundleError, match=r"model\.onnx is damaged"):
        fetch_bundle(remote, head, tmp_path / "new", LIMITS)


def test_endless_bytes_end_at_the_limit(tiny_bundle: Path, tmp_path: Path) -> None:
    remote = EndlessRemote(tiny_bundle)
    with pytest.raises(BundleError, match="more bytes than the limit"):
        fetch(remote, tmp_path / "new")
    assert remote.sent <= LIMITS.max_bytes + PIECE
    assert (tmp_path / "new" / "model.onnx").stat().st_size <= LIMITS.max_bytes


def test_an_endless_manifest_ends_at_its_own_limit(
    tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tailfuse_service.stores.fetch.MAX_MANIFEST_BYTES", 5000)
    with pytest.raises(BundleError, match=r"manifest\.json has more bytes"):
        fetch(FakeRemote(tiny_bundle, manifest_json=bytes(10_000)), tmp_path / "new")


def test_a_manifest_of_many_files_is_refused(tiny_bundle: Path, tmp_path: Path) -> None:
    many = {f"f{number}": "0" * 64 for number in range(100)}
    with pytest.raises(BundleError, match="lists 101 files"):
        fetch(FakeRemote(tiny_bundle, manifest_json=list_files(tiny_bundle, **many)), tmp_path / "new")


@pytest.mark.parametrize("content", [b"", b"{}", b"<html>404</html>", b"\xff\xfe", b"[" * 100_000])
def test_a_manifest_that_is_none_is_refused(tiny_bundle: Path, tmp_path: Path, content: bytes) -> None:
    with pytest.raises(BundleError, match=r"manifest\.json"):
        fetch(FakeRemote(tiny_bundle, manifest_json=content), tmp_path / "new")


def test_a_cancelled_fetch_ends_at_the_next_piece(tiny_bundle: Path, tmp_path: Path) -> None:
    remote, cancelled = EndlessRemote(tiny_bundle), threading.Event()
    head = read_head(remote, LIMITS)
    (tmp_path / "new").mkdir()
    with pytest.raises(TimeoutError):
        fetch_bundle(
            remote, head, tmp_path / "new", Limits(cancelled=cancelled), report=lambda *_: cancelled.set()
        )
    assert remote.sent == 2 * PIECE


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    write_key_pair(tmp_path / "key", tmp_path / "key.pub")
    return tmp_path


def test_a_signed_bundle_is_fetched_with_its_signature(tmp_path: Path, keys: Path) -> None:
    folder = write_tiny_bundle(tmp_path / "signed")
    sign_bundle(folder, keys / "key")
    fetch(FakeRemote(folder), tmp_path / "new", trusted_keys=keys / "key.pub")
    assert (tmp_path / "new" / "manifest.sig").read_bytes() == (folder / "manifest.sig").read_bytes()


def test_an_unsigned_bundle_is_refused_before_its_graph_is_fetched(
    tiny_bundle: Path, tmp_path: Path, keys: Path
) -> None:
    remote = FakeRemote(tiny_bundle)
    with pytest.raises(BundleError, match="is not signed"):
        fetch(remote, tmp_path / "new", trusted_keys=keys / "key.pub")
    assert "model.onnx" not in remote.read


def test_another_signature_is_another_bundle_in_the_cache(tmp_path: Path, keys: Path) -> None:
    folder = write_tiny_bundle(tmp_path / "signed")
    unsigned = read_head(FakeRemote(folder), LIMITS).digest
    sign_bundle(folder, keys / "key")
    assert read_head(FakeRemote(folder), LIMITS).digest != unsigned


def test_who_may_not_list_gets_403_for_a_signature_that_is_not_there(tiny_bundle: Path) -> None:
    remote = FakeRemote(tiny_bundle, manifest_sig=PermissionError("Forbidden"))
    assert read_head(remote, LIMITS).signature is None


def test_a_signature_that_cannot_be_read_for_another_reason_is_a_failure(tiny_bundle: Path) -> None:
    with pytest.raises(ConnectionError):
        read_head(FakeRemote(tiny_bundle, manifest_sig=ConnectionError("reset")), LIMITS)
