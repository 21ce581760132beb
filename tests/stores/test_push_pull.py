"""`tailfuse push` and `tailfuse pull`, with a folder as the store."""

import json
import sys
from pathlib import Path

import pytest
import tailfuse
from click.testing import CliRunner
from tailfuse.cli import main
from tailfuse.errors import UserError
from tailfuse_service.bundle import BundleError, pack
from tailfuse_service.bundle.files import sign_bundle
from tailfuse_service.bundle.signature import write_key_pair

from tests.support.bundles import write_tiny_bundle

pytest.importorskip("fsspec", reason="the base install has no stores")


@pytest.fixture
def store(tmp_path: Path) -> str:
    return f"file://{tmp_path}/store"


def read_folder(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_what_is_pulled_is_what_was_pushed(tiny_bundle: Path, store: str, tmp_path: Path) -> None:
    pushed = tailfuse.push(tiny_bundle, f"{store}/skin/3")
    pulled = tailfuse.pull(f"{store}/skin/3", tmp_path / "copy")
    assert pushed == pulled
    assert (pulled.name, pulled.version, pulled.files) == ("skin-lesions", "3", 2)
    assert read_folder(tmp_path / "copy") == read_folder(tiny_bundle)


def test_a_zip_is_pushed_as_a_folder_and_pulled_as_a_zip(
    tiny_bundle: Path, store: str, tmp_path: Path
) -> None:
    pack(tiny_bundle, tmp_path / "bundle.zip")
    tailfuse.push(tmp_path / "bundle.zip", store)
    assert read_folder(tmp_path / "store") == read_folder(tiny_bundle)
    tailfuse.pull(store, tmp_path / "copy.zip")
    assert (tmp_path / "copy.zip").read_bytes() == (tmp_path / "bundle.zip").read_bytes()


def test_the_signature_goes_with_it_and_is_checked(store: str, tmp_path: Path) -> None:
    write_key_pair(tmp_path / "key", tmp_path / "key.pub")
    write_key_pair(tmp_path / "other", tmp_path / "other.pub")
    sign_bundle(folder := write_tiny_bundle(tmp_path / "signed"), tmp_path / "key")
    tailfuse.push(folder, store)
    with pytest.raises(BundleError, match=f"{store} is not signed by a trusted key"):
        tailfuse.pull(store, tmp_path / "refused", trusted_keys=tmp_path / "other.pub")
    assert not (tmp_path / "refused").exists()
    tailfuse.pull(store, tmp_path / "copy", trusted_keys=tmp_path / "key.pub")
    assert read_folder(tmp_path / "copy") == read_folder(folder)


def test_nothing_is_overwritten(tiny_bundle: Path, next_bundle: Path, store: str, tmp_path: Path) -> None:
    tailfuse.push(tiny_bundle, store)
    with pytest.raises(BundleError, match="a bundle is there already"):
        tailfuse.push(next_bundle, store)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("years")
    with pytest.raises(BundleError, match=r"'thesis\.txt' is there already"):
        tailfuse.push(next_bundle, f"file://{tmp_path}/other")
    with pytest.raises(BundleError, match="is there already; choose another path"):
        tailfuse.pull(store, tmp_path / "other")
    assert read_folder(tmp_path / "store") == read_folder(tiny_bundle)
    assert read_folder(tmp_path / "other") == {"thesis.txt": b"years"}


def test_a_push_that_fails_leaves_nothing(
    tiny_bundle: Path, store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fsspec.implementations.local import LocalFileSystem

    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(LocalFileSystem, "pipe_file", fail)
    with pytest.raises(BundleError, match="No space left"):
        tailfuse.push(tiny_bundle, store)
    assert read_folder(tmp_path / "store") == {}


def test_a_damaged_bundle_is_neither_pushed_nor_pulled(store: str, tmp_path: Path) -> None:
    folder = write_tiny_bundle(tmp_path / "good")
    tailfuse.push(folder, store)
    (folder / "model.onnx").write_bytes(b"")
    with pytest.raises(BundleError, match=r"model\.onnx is damaged"):
        tailfuse.push(folder, f"{store}/other")
    (tmp_path / "store" / "model.onnx").write_bytes(b"")
    with pytest.raises(BundleError, match=rf"{store}: model\.onnx is damaged.*changed while it was fetched"):
        tailfuse.pull(store, tmp_path / "copy")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["good", "store"]


def test_an_address_with_several_bundles_lists_them(tiny_bundle: Path, store: str, tmp_path: Path) -> None:
    for name in ("1", "2"):
        tailfuse.push(tiny_bundle, f"{store}/{name}")
    with pytest.raises(BundleError, match=rf"but 1, 2: name one, as in {store}/1"):
        tailfuse.pull(store, tmp_path / "copy")


def test_nothing_at_an_address_is_one_sentence(store: str, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=f"^{store}: nothing is there$"):
        tailfuse.pull(store, tmp_path / "copy")
    (tmp_path / "store").mkdir()
    with pytest.raises(BundleError, match="holds no bundle"):
        tailfuse.pull(store, tmp_path / "copy")


def test_a_path_is_no_address(tiny_bundle: Path) -> None:
    with pytest.raises(UserError, match="'somewhere' is a path; expected an address such as s3://"):
        tailfuse.push(tiny_bundle, "somewhere")


def test_a_missing_package_names_its_extra(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(
        BundleError, match=r"mlflow:models:/skin needs the extra 'mlflow', which is not installed: pip"
    ):
        tailfuse.push(tiny_bundle, "mlflow:models:/skin")


def test_the_commands_print_a_line_or_json(tiny_bundle: Path, store: str, tmp_path: Path) -> None:
    pushed = CliRunner().invoke(main, ["push", str(tiny_bundle), store])
    assert (pushed.exit_code, pushed.stderr) == (0, "")
    assert pushed.stdout.startswith(f"Pushed skin-lesions, version 3: {store} (2 files, ")
    pulled = CliRunner().invoke(main, ["pull", store, "--out", str(tmp_path / "copy"), "--json"])
    assert pulled.exit_code == 0
    assert json.loads(pulled.stdout)["address"] == store
    again = CliRunner().invoke(main, ["pull", store, "--out", str(tmp_path / "copy")])
    assert (again.exit_code, again.stdout) == (1, "")
    assert again.stderr == f"Error: {tmp_path}/copy is there already; choose another path\n"
