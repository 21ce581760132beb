"""Versions of the site: which are listed, in which order, and what a build replaces."""

import json
from pathlib import Path

import pytest
import yaml

from docs.versions import InvalidVersion, add_version

ROOT = Path(__file__).parents[2]


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A built site of two pages."""
    site = tmp_path / "site"
    (site / "howto").mkdir(parents=True)
    (site / "index.html").write_text("home")
    (site / "howto" / "missing.html").write_text("page")
    return site


def read_listed(folder: Path) -> dict[str, list[str]]:
    """Return the aliases of each version that is listed, in the order of the list."""
    return {each["version"]: each["aliases"] for each in json.loads((folder / "versions.json").read_text())}


def test_versions_are_listed_by_their_numbers_and_the_first_page_leads_to_the_latest(
    site: Path, tmp_path: Path
) -> None:
    for version in ("0.9", "dev", "0.10", "0.2.1", "0.2"):
        add_version(site, tmp_path / "all", version)
    listed = read_listed(tmp_path / "all")
    assert list(listed) == ["dev", "0.10", "0.9", "0.2.1", "0.2"]
    assert {version for version, aliases in listed.items() if aliases == ["latest"]} == {"0.10"}
    assert "url=0.10/index.html" in (tmp_path / "all" / "index.html").read_text()


def test_a_version_built_again_is_replaced_whole_and_others_stay(site: Path, tmp_path: Path) -> None:
    add_version(site, tmp_path / "all", "0.1")
    add_version(site, tmp_path / "all", "0.2")
    (site / "howto" / "missing.html").unlink()
    add_version(site, tmp_path / "all", "0.2")
    assert not (tmp_path / "all" / "0.2" / "howto" / "missing.html").exists()
    assert (tmp_path / "all" / "0.1" / "howto" / "missing.html").exists()
    assert (site / "index.html").exists()
    assert list(read_listed(tmp_path / "all")) == ["0.2", "0.1"]


def test_what_is_no_version_is_not_listed(site: Path, tmp_path: Path) -> None:
    (tmp_path / "all" / "assets").mkdir(parents=True)
    (tmp_path / "all" / "assets" / "index.html").write_text("x")
    (tmp_path / "all" / "0.3").mkdir()  # without a site
    add_version(site, tmp_path / "all", "dev")
    assert read_listed(tmp_path / "all") == {"dev": ["latest"]}


@pytest.mark.parametrize(
    "version", ["", "..", "../x", "v0.2", "0.2/x", "0.2\n", "latest", "0..2", "0.2rc1", "."]
)
def test_other_names_are_refused_and_nothing_is_written(site: Path, tmp_path: Path, version: str) -> None:
    with pytest.raises(InvalidVersion, match=r"expected numbers such as 0\.2, or dev"):
        add_version(site, tmp_path / "all", version)
    assert not (tmp_path / "all").exists()


def test_only_the_pages_of_a_version_ask_for_the_list() -> None:
    plain, version = (
        yaml.safe_load((ROOT / name).read_text()) for name in ("mkdocs.yml", "mkdocs-version.yml")
    )
    assert "version" not in plain["extra"]
    assert version["INHERIT"] == "mkdocs.yml"
    assert version["extra"] == plain["extra"] | {"version": {"provider": "mike"}}
