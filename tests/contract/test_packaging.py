"""What is published: its metadata agree, its licence is there, and the ways to install it exist."""

import ast
import re
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest
import yaml

from release.contents import check_wheel, find_data, find_distributions, list_contents, read_distribution
from release.lowest import SERVICE_EXTRAS, list_constraints, normalise, parse_requirement

ROOT = Path(__file__).parents[2]
DISTRIBUTIONS = find_distributions(ROOT)
BASE = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
# What the service imports only where an extra, or a tool of the checkout, is used.
OPTIONAL = {
    "torch", "cryptography", "grpc", "google", "opentelemetry", "yaml", "pillow_heif", "pydicom",
    "tokenizers", "aiohttp", "fsspec", "mlflow", "ray", "requests",
}  # fmt: skip
PINNED_BY_PYDANTIC = {"pydantic_core"}
# A regular expression does not match itself: its dots are escaped.
INDEX_HOSTS = re.compile(
    r"pypi\.org|pythonhosted\.org|download\.pytorch\.org|deb\.debian\.org|registry\.npmjs\.org|"
    r"index[-_]url[ =]+[\"']?https?:"
)


def tracked_texts() -> dict[str, str]:
    """Return every text file that git knows, by its path."""
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True)
    texts = {}
    for name in done.stdout.splitlines():
        path = ROOT / name
        if path.is_file() and b"\0" not in path.read_bytes()[:8192]:
            texts[name] = path.read_text(encoding="utf-8")
    return texts


def test_there_is_a_distribution_of_tailfuse_and_of_its_client() -> None:
    assert {"tailfuse", "tailfuse-client"} <= {each.project["name"] for each in DISTRIBUTIONS}


@pytest.mark.parametrize("distribution", DISTRIBUTIONS, ids=lambda each: each.project["name"])
def test_every_distribution_has_the_licence_and_all_metadata(distribution: Any) -> None:
    project = distribution.project
    assert project["license"] == "Apache-2.0"
    assert project["authors"] == [{"name": "tailfuse contributors"}]
    assert {"description", "readme", "keywords", "classifiers", "urls"} <= project.keys()
    assert (distribution.folder / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()


def test_versions_agree_and_the_changelog_dates_the_present_one() -> None:
    version = BASE["version"]
    assert {each.project["version"] for each in DISTRIBUTIONS} == {version}
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == version
    dated = re.findall(r"^## \[([\d.]+)\] - (\d{4}-\d\d-\d\d)$", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert dated[0] == (version, str(citation["date-released"]))
    minor = ".".join(version.split(".")[:2])
    assert f"| {minor}.x | yes |" in (ROOT / "SECURITY.md").read_text()


@pytest.mark.needs("git")
def test_no_host_of_an_index_or_mirror_stands_in_the_repository() -> None:
    assert [name for name, text in tracked_texts().items() if INDEX_HOSTS.search(text)] == []


@pytest.mark.needs("git")
def test_nothing_says_to_install_tailfuse_from_an_index() -> None:
    from_index = re.compile(r"pip install[^\n`#]*[ '\"]tailfuse(?:-client|-bench)?(?:\[|[ '\"`\n]|$)")
    assert [name for name, text in tracked_texts().items() if from_index.search(text)] == []


def test_every_package_that_the_service_imports_is_a_dependency_of_the_base() -> None:
    folder = ROOT / "service" / "tailfuse_service"
    nodes = [node for path in folder.rglob("*.py") for node in ast.walk(ast.parse(path.read_text()))]
    plain = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    by_name = [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]
    imported = {name.partition(".")[0] for name in [*plain, *by_name]} - {"tailfuse_service"}
    foreign = imported - sys.stdlib_module_names - OPTIONAL - PINNED_BY_PYDANTIC
    providers = packages_distributions()
    needed = {normalise(name) for each in foreign for name in providers[each]}
    declared = {parse_requirement(each)[0] for each in BASE["dependencies"]}
    assert needed - declared == set()
    # uvicorn imports the one; of the other only files are served.
    assert declared - needed == {"uvloop", "fastapi-swagger"}


@pytest.mark.parametrize(
    ("requirement", "lowest"),
    [
        ("numpy>=2.0.2", ("numpy", "2.0.2")),
        ("uvicorn[standard]>=0.46,<0.55", ("uvicorn", "0.46")),
        ("Some_Thing==1.0", ("some-thing", "1.0")),
        ("uvloop>=0.21; sys_platform != 'win32'", ("uvloop", "0.21")),
    ],
)
def test_the_lowest_version_of_a_requirement(requirement: str, lowest: tuple[str, str]) -> None:
    assert parse_requirement(requirement) == lowest


@pytest.mark.parametrize("requirement", ["numpy", "numpy<3"])
def test_a_requirement_without_a_floor_is_refused(requirement: str) -> None:
    with pytest.raises(ValueError, match="has no lowest version"):
        parse_requirement(requirement)


def test_the_lowest_versions_are_those_of_every_direct_dependency() -> None:
    lowest = dict(parse_requirement(line) for line in list_constraints())
    extras = [each for extra in SERVICE_EXTRAS for each in BASE["optional-dependencies"][extra]]
    floors = dict(parse_requirement(each) for each in [*BASE["dependencies"], *extras])
    assert floors.items() <= lowest.items()
    assert {"httpx2", "pytest"} <= lowest.keys()


PYPROJECT = """
[project]
name = "some-thing"
version = "1.0"
license-files = ["LICENSE"]
[tool.hatch.build.targets.wheel]
packages = ["some_thing"]
"""
GOOD = {
    "some_thing/__init__.py": "", "some_thing/py.typed": "",
    "some_thing-1.0.dist-info/METADATA": "License-Expression: Apache-2.0\n",
    "some_thing-1.0.dist-info/licenses/LICENSE": "",
}  # fmt: skip


@pytest.mark.parametrize(
    ("added", "removed", "problem"),
    [
        ({}, "", None),
        ({"some_thing/bench/run.py": ""}, "", "foreign files: some_thing/bench/run.py"),
        ({"some_thing/rows.csv": ""}, "", "data: some_thing/rows.csv"),
        ({}, "some_thing/py.typed", "missing py.typed: some_thing/py.typed"),
        ({}, "some_thing-1.0.dist-info/licenses/LICENSE", "missing licence files"),
        ({"some_thing-1.0.dist-info/METADATA": "License: MIT\n"}, "", "licence None, not Apache-2.0"),
    ],
)
def test_a_wheel_with_too_much_or_too_little_is_found_out(
    tmp_path: Path, added: dict[str, str], removed: str, problem: str | None
) -> None:
    (tmp_path / "pyproject.toml").write_text(PYPROJECT)
    files = {name: text for name, text in {**GOOD, **added}.items() if name != removed}
    path = tmp_path / "some_thing-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for name, text in files.items():
            wheel.writestr(name, text)
    tracked = {name for name in files if "dist-info" not in name}
    found = check_wheel(path, read_distribution(tmp_path), tracked)
    assert [problem is not None and problem in each for each in found] == ([True] if problem else [])


@pytest.mark.parametrize("distribution", DISTRIBUTIONS, ids=lambda each: each.project["name"])
def test_no_package_has_a_file_that_its_wheel_must_not_hold(distribution: Any) -> None:
    listed = subprocess.run(
        ["git", "ls-files"], cwd=distribution.folder, capture_output=True, text=True, check=True
    )
    contents = list_contents(distribution, set(listed.stdout.splitlines()))
    assert contents
    assert find_data(contents) == set()


def test_a_wheel_holds_the_files_that_git_knows_and_no_others(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(PYPROJECT)
    path = tmp_path / "some_thing-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for name, text in GOOD.items():
            wheel.writestr(name, text)
    tracked = {"some_thing/py.typed", "some_thing/left_out.py", "README.md"}
    assert check_wheel(path, read_distribution(tmp_path), tracked) == [
        f"{path.name}: files that git does not know: some_thing/__init__.py",
        f"{path.name}: missing files: some_thing/left_out.py",
    ]
