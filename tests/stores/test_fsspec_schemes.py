"""Which file system an address gets. Of those that are not installed only the names are checked."""

from typing import Any

import pytest
from tailfuse_service.bundle import BundleError
from tailfuse_service.stores.address import parse_address
from tailfuse_service.stores.open_store import open_store

fsspec = pytest.importorskip("fsspec", reason="the base install has no stores")

CLASSES = {
    "az://models/skin": ("adlfs.AzureBlobFileSystem", "azure"),
    "file:///models/skin": ("fsspec.implementations.local.LocalFileSystem", "http"),
    "gs://models/skin": ("gcsfs.GCSFileSystem", "gcs"),
    "hf://acme/skin@main/4": ("huggingface_hub.HfFileSystem", "hf"),
    "s3://models/skin": ("s3fs.S3FileSystem", "s3"),
}


@pytest.mark.parametrize("text", CLASSES)
def test_an_address_gets_the_file_system_of_its_scheme(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from fsspec.registry import known_implementations

    asked: list[tuple[str, dict[str, Any]]] = []

    def make(protocol: str, **options: Any) -> object:
        asked.append((protocol, options))
        return object()

    monkeypatch.setattr(fsspec, "filesystem", make)
    address = parse_address(text)
    assert address is not None
    open_store(address)
    [(protocol, options)] = asked
    assert known_implementations[protocol]["class"] == CLASSES[text][0]
    assert options["skip_instance_cache"] is True


@pytest.mark.parametrize("text", CLASSES)
def test_a_missing_package_names_the_extra(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ImportError("no such package")

    monkeypatch.setattr(fsspec, "filesystem", fail)
    address = parse_address(text)
    assert address is not None
    with pytest.raises(BundleError, match=rf"{text} needs the extra '{CLASSES[text][1]}', which is not"):
        open_store(address)
