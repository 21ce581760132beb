"""With trusted keys only what one of them has signed is served, to the last byte."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tailfuse_service.bundle import BundleError, open_bundle
from tailfuse_service.bundle.files import MANIFEST, pack, sign_bundle
from tailfuse_service.bundle.signature import SIGNATURE, read_trusted_keys, write_key_pair
from tailfuse_service.settings import Settings


@pytest.fixture
def key(tmp_path: Path) -> Path:
    write_key_pair(tmp_path / "key.pem", tmp_path / "key.pub")
    return tmp_path / "key.pem"


@pytest.fixture
def trusted(key: Path) -> Path:
    return key.with_suffix(".pub")


@pytest.fixture
def bundle(tiny_bundle: Path, tmp_path: Path) -> Path:
    return shutil.copytree(tiny_bundle, tmp_path / "bundle")


def test_a_signed_bundle_is_opened_as_folder_and_as_zip(
    bundle: Path, key: Path, trusted: Path, tmp_path: Path
) -> None:
    pack(bundle, tmp_path / "bundle.zip")
    for path in (bundle, tmp_path / "bundle.zip"):
        sign_bundle(path, key)
        assert open_bundle(path, trusted_keys=trusted).manifest.name
        assert open_bundle(path).manifest.name


def test_one_of_several_keys_is_enough(bundle: Path, key: Path, trusted: Path, tmp_path: Path) -> None:
    write_key_pair(tmp_path / "other.pem", tmp_path / "other.pub")
    both = tmp_path / "both.pub"
    both.write_bytes(b"# ours\n" + (tmp_path / "other.pub").read_bytes() + trusted.read_bytes())
    sign_bundle(bundle, key)
    assert len(read_trusted_keys(both)) == 2
    assert open_bundle(bundle, trusted_keys=both).manifest.name


def change_manifest(bundle: Path) -> None:
    manifest = json.loads((bundle / MANIFEST).read_text())
    (bundle / MANIFEST).write_text(json.dumps({**manifest, "name": "other"}))


def change_graph(bundle: Path) -> None:
    with (bundle / "model.onnx").open("ab") as file:
        file.write(b"x")


SPOILT: dict[str, tuple[Callable[[Path], Any], str]] = {
    "not signed": (lambda bundle: (bundle / SIGNATURE).unlink(), "is not signed, and only bundles signed"),
    "not a signature": (lambda bundle: (bundle / SIGNATURE).write_text("!"), "manifest.sig is no signature"),
    "cut": (lambda bundle: (bundle / SIGNATURE).write_text("AAAA"), "is not signed by a trusted key, or was"),
    "another manifest": (change_manifest, "is not signed by a trusted key, or was changed"),
    "another graph": (change_graph, "model.onnx is damaged"),
    "a file more": (
        lambda bundle: (bundle / "weights.bin").write_bytes(b"x"),
        "'weights.bin' is not listed in manifest.json",
    ),
    "a folder more": (lambda bundle: (bundle / "more").mkdir(), "'more' is not listed in manifest.json"),
}


@pytest.mark.parametrize(("spoil", "says"), SPOILT.values(), ids=SPOILT)
def test_what_was_not_signed_so_is_refused(
    bundle: Path, key: Path, trusted: Path, spoil: Callable[[Path], Any], says: str
) -> None:
    sign_bundle(bundle, key)
    spoil(bundle)
    with pytest.raises(BundleError) as refusal:
        open_bundle(bundle, trusted_keys=trusted)
    assert says in refusal.value.detail


def test_another_key_is_not_trusted(bundle: Path, key: Path, tmp_path: Path) -> None:
    write_key_pair(tmp_path / "other.pem", tmp_path / "other.pub")
    sign_bundle(bundle, tmp_path / "other.pem")
    with pytest.raises(BundleError, match="is not signed by a trusted key"):
        open_bundle(bundle, trusted_keys=key.with_suffix(".pub"))


def test_a_private_key_is_for_its_owner_and_is_never_overwritten(key: Path) -> None:
    assert key.stat().st_mode & 0o077 == 0
    with pytest.raises(FileExistsError):
        write_key_pair(key, key.with_suffix(".pub"))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "contains no public keys in PEM"),
        ("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "key 1 is no public key in PEM"),
        (None, "No such file or directory"),
    ],
)
def test_a_file_without_keys_stops_the_start(tmp_path: Path, content: str | None, says: str) -> None:
    path = tmp_path / "keys"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ValueError, match=says):
        Settings(bundle=tmp_path, trusted_keys=path)


def test_a_public_key_signs_nothing(bundle: Path, trusted: Path) -> None:
    with pytest.raises(BundleError, match="is no private key in PEM"):
        sign_bundle(bundle, trusted)
