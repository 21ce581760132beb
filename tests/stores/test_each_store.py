"""What every store that is a folder to fsspec does, by a server of each on this machine."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import tailfuse
from tailfuse_service.bundle import MANIFEST, BundleError, read_manifest
from tailfuse_service.stores.address import parse_address
from tailfuse_service.stores.cache import BundleCache
from tailfuse_service.stores.fetch import Limits
from tailfuse_service.stores.fsspec_store import FsspecStore
from tailfuse_service.stores.mirror import Mirror

from tests.support.bundles import write_tiny_bundle
from tests.support.clouds import FOLDER_STORES, KEY, serve_azure
from tests.support.hub import serve_hub
from tests.support.stores import serve_s3

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # of the hub's own client
fsspec = pytest.importorskip("fsspec", reason="the base install has no stores")

DENIED = r"^{}: access denied \(.*\); docs/STORES\.md lists the variables"


STORES = {
    scheme: pytest.param(store, id=scheme, marks=pytest.mark.needs(store.program))
    for scheme, store in FOLDER_STORES.items()
}


@pytest.fixture(scope="module", params=STORES.values())
def server(request: pytest.FixtureRequest) -> Iterator[tuple[str, dict[str, str]]]:
    """An address, and the variables with which its library finds the server."""
    with request.param.serve() as variables:
        yield request.param.address, variables


@pytest.fixture
def store(
    server: tuple[str, dict[str, str]], request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> str:
    """The address of a folder of the test's own."""
    address, variables = server
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    if address.startswith("gs:"):  # fsspec has read its variables already
        monkeypatch.setitem(fsspec.config.conf, "gs", {"token": variables["FSSPEC_GS_TOKEN"]})
    if address.startswith("hf:"):  # whose constants are read from the variables once
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", variables["HF_ENDPOINT"])
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
    return f"{address}/{request.node.originalname}"


def overwrite(bundle: Path, address: str) -> None:
    """Put other files in the place of a bundle's, its manifest last."""
    scheme, _, path = address.partition("://")
    files = fsspec.filesystem(scheme, skip_instance_cache=True)
    for file in sorted(bundle.iterdir(), key=lambda file: file.name == MANIFEST):
        files.pipe_file(f"{path}/{file.name}", file.read_bytes())


def follow(address: str, cache: Path) -> Mirror:
    parsed = parse_address(address)
    assert parsed is not None
    mirror = Mirror(parsed, BundleCache(cache), Limits(), poll_s=0, timeout_s=120)
    mirror.start()
    return mirror


def read_versions(mirror: Mirror) -> dict[str, str]:
    return {name: read_manifest(mirror.folder / name).version for name in mirror.names}


def test_a_bundle_goes_there_and_back(store: str, tiny_bundle: Path, tmp_path: Path) -> None:
    pushed = tailfuse.push(tiny_bundle, f"{store}/3")
    assert tailfuse.pull(f"{store}/3", tmp_path / "copy") == pushed
    for file in tiny_bundle.iterdir():
        assert (tmp_path / "copy" / file.name).read_bytes() == file.read_bytes()
    with pytest.raises(BundleError, match=f"^{store}/3: a bundle is there already"):
        tailfuse.push(tiny_bundle, f"{store}/3")
    with pytest.raises(BundleError, match=f"but 3: name one, as in {store}/3"):
        tailfuse.pull(store, tmp_path / "other")


def test_new_versions_are_followed(store: str, tmp_path: Path) -> None:
    tailfuse.push(write_tiny_bundle(tmp_path / "b1", version="1"), f"{store}/one")
    mirror = follow(store, tmp_path / "cache")
    assert read_versions(mirror) == {"one": "1"}
    tailfuse.push(write_tiny_bundle(tmp_path / "b2", version="2"), f"{store}/two")
    mirror.follow()
    assert read_versions(mirror) == {"one": "1", "two": "2"}
    overwrite(write_tiny_bundle(tmp_path / "b3", version="3.0-with-a-longer-name"), f"{store}/one")
    mirror.follow()
    assert read_versions(mirror) == {"one": "3.0-with-a-longer-name", "two": "2"}


def test_a_bundle_that_changes_at_the_address_itself_is_followed(store: str, tmp_path: Path) -> None:
    address = f"{store}/skin"
    tailfuse.push(write_tiny_bundle(tmp_path / "b1", version="1"), address)
    mirror = follow(address, tmp_path / "cache")
    assert read_versions(mirror) == {"skin": "1"}
    for version in ("2.0-with-a-longer-name", "3"):
        overwrite(write_tiny_bundle(tmp_path / version, version=version), address)
        mirror.follow()
        assert read_versions(mirror) == {"skin": version}


def test_what_is_not_there_is_one_sentence(store: str, tmp_path: Path) -> None:
    for address in (f"{store}/nothing", store.replace("models", "nobody")):
        with pytest.raises(BundleError, match=f"^{address}: nothing is there$"):
            tailfuse.pull(address, tmp_path / "copy")


@pytest.mark.parametrize("server", [STORES["s3"], STORES["az"]], indirect=True)
def test_of_two_pushes_at_the_same_time_the_second_fails(
    store: str, tiny_bundle: Path, next_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tailfuse.push(tiny_bundle, store)
    monkeypatch.setattr(FsspecStore, "_check_empty", lambda _: None)  # both have seen an empty folder
    with pytest.raises(BundleError, match=f"^{store}: "):
        tailfuse.push(next_bundle, store)


@pytest.mark.needs("moto_server")
def test_s3_without_credentials_is_access_denied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serve_s3("models") as variables:
        monkeypatch.setenv("AWS_ENDPOINT_URL", variables["AWS_ENDPOINT_URL"])
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
        with pytest.raises(BundleError, match=DENIED.format("s3://models/skin")):
            tailfuse.pull("s3://models/skin", tmp_path / "copy")


@pytest.mark.needs("azurite-blob")
def test_a_key_that_is_wrong_or_missing_is_access_denied(
    tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serve_azure("models") as variables:
        [(name, value)] = variables.items()
        monkeypatch.setenv(name, value.replace(KEY, KEY[::-1].strip("=") + "=="))
        with pytest.raises(BundleError, match=DENIED.format("az://models/skin")):
            tailfuse.push(tiny_bundle, "az://models/skin")
        with pytest.raises(BundleError, match=DENIED.format("az://models/skin")):
            tailfuse.pull("az://models/skin", tmp_path / "copy")
    monkeypatch.delenv(name)
    with pytest.raises(BundleError, match=DENIED.format("az://models/skin")):
        tailfuse.pull("az://models/skin", tmp_path / "copy")


@pytest.mark.needs("hf")
def test_a_token_that_is_wrong_is_access_denied(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serve_hub("acme/skin") as variables:
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", variables["HF_ENDPOINT"])
        monkeypatch.setenv("HF_TOKEN", "hf_wrong")
        with pytest.raises(BundleError, match=DENIED.format("hf://acme/skin/1")):
            tailfuse.push(tiny_bundle, "hf://acme/skin/1")
