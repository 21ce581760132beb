"""A repository whose bundles lie in a store: it opens what the mirror holds, and follows it."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from tailfuse_service.bundle import BundleError
from tailfuse_service.models.repository import Repository
from tailfuse_service.settings import Settings
from tailfuse_service.stores.address import Address

from tests.support.bundles import write_tiny_bundle
from tests.support.trials import pass_all

pytest.importorskip("fsspec", reason="the base install has no stores")


def make_repository(store: Path, tmp_path: Path, **settings: Any) -> Repository:
    address = Address("file", str(store))
    return Repository(Settings(bundle=address, store_cache=tmp_path / "cache", **settings), pass_all())


def read_versions(repository: Repository) -> list[str]:
    return sorted(":".join(bundle.manifest.of) for bundle in repository.bundles)


def test_versions_in_a_store_are_opened_and_replaced(tmp_path: Path) -> None:
    (store := tmp_path / "store").mkdir()
    write_tiny_bundle(store / "one", version="1")
    repository = make_repository(store, tmp_path)
    repository.open({})
    assert read_versions(repository) == ["skin-lesions:1"]
    assert repository.mirror is not None
    write_tiny_bundle(store / "two", version="2")
    (store / "one").rename(tmp_path / "gone")
    repository.mirror.follow(again=True)
    repository.refresh({})
    repository.refresh({})
    assert read_versions(repository) == ["skin-lesions:2"]


def test_a_bundle_at_the_address_itself_may_have_another_name(tmp_path: Path) -> None:
    repository = make_repository(write_tiny_bundle(tmp_path / "skin"), tmp_path, name="other")
    repository.open({})
    assert read_versions(repository) == ["other:3"]
    (tmp_path / "many").mkdir()
    write_tiny_bundle(tmp_path / "many" / "1")
    with pytest.raises(BundleError, match=f"file://{tmp_path}/many is a folder of bundles"):
        make_repository(tmp_path / "many", tmp_path, name="other").open({})


def test_a_setting_with_a_secret_is_refused_without_showing_it() -> None:
    with pytest.raises(ValidationError) as refused:
        Settings.model_validate({"bundle": "https://me:hunter2@host/skin"})
    assert "must not hold a user" in str(refused.value)
    assert "hunter2" not in str(refused.value)


def test_a_path_is_still_a_path(tmp_path: Path) -> None:
    assert Settings.model_validate({"bundle": str(tmp_path)}).bundle == tmp_path
    assert Settings(bundle=tmp_path).bundle == tmp_path
