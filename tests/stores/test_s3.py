"""S3, by a real server of its protocol on this machine (moto)."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import tailfuse
from tailfuse_service.bundle import BundleError

from tests.support.stores import serve_s3

pytestmark = pytest.mark.needs("moto_server")


@pytest.fixture(scope="module")
def server() -> Iterator[dict[str, str]]:
    with serve_s3("models") as variables:
        yield variables


@pytest.fixture(autouse=True)
def variables(server: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in server.items():
        monkeypatch.setenv(name, value)


def test_a_bundle_goes_to_s3_and_back(tiny_bundle: Path, tmp_path: Path) -> None:
    pushed = tailfuse.push(tiny_bundle, "s3://models/skin/3")
    assert tailfuse.pull("s3://models/skin/3", tmp_path / "copy") == pushed
    for file in tiny_bundle.iterdir():
        assert (tmp_path / "copy" / file.name).read_bytes() == file.read_bytes()
    with pytest.raises(BundleError, match="s3://models/skin/3: a bundle is there already"):
        tailfuse.push(tiny_bundle, "s3://models/skin/3")
    with pytest.raises(BundleError, match="but 3: name one, as in s3://models/skin/3"):
        tailfuse.pull("s3://models/skin", tmp_path / "other")


def test_two_pushes_at_the_same_time_do_not_mix(
    tiny_bundle: Path, next_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tailfuse_service.stores.fsspec_store import FsspecStore

    tailfuse.push(tiny_bundle, "s3://models/race")
    monkeypatch.setattr(FsspecStore, "_check_empty", lambda _: None)  # both have seen an empty folder
    with pytest.raises(BundleError, match=r"s3://models/race: "):
        tailfuse.push(next_bundle, "s3://models/race")


def test_no_bucket_and_no_object_are_not_there(tmp_path: Path) -> None:
    for address in ("s3://nobody/skin", "s3://models/nothing"):
        with pytest.raises(BundleError, match=f"^{address}: nothing is there$"):
            tailfuse.pull(address, tmp_path / "copy")


def test_without_credentials_the_page_with_the_variables_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    with pytest.raises(BundleError, match=r"s3://models/skin: access denied .*docs/STORES\.md"):
        tailfuse.pull("s3://models/skin", tmp_path / "copy")
