"""The bill of materials names every package that runs, with its licence, and is valid CycloneDX."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from release.lowest import normalise
from release.sbom import complete_component, keep_packages, list_requirements, write_sbom

pytestmark = pytest.mark.slow

USES = {"serve": ["grpc", "sign"], "train": ["train", "pretrained", "formats", "sign"]}


def read_components(document: dict[str, Any]) -> set[str]:
    return {normalise(each["name"]) for each in document["components"]}


@pytest.mark.parametrize("use", USES)
def test_every_run_time_dependency_is_in_it_and_nothing_else(tmp_path: Path, use: str) -> None:
    path = tmp_path / "tailfuse.cdx.json"
    write_sbom(Path(sys.executable), use, USES[use], path)
    text = path.read_text()
    document = json.loads(text)
    assert (document["bomFormat"], document["specVersion"]) == ("CycloneDX", "1.6")
    assert document["metadata"]["component"]["name"] == "tailfuse"
    names = read_components(document)
    assert list_requirements(USES[use]) <= names
    assert not names & {"pip", "pytest", "mypy", "tailfuse-client"}
    assert ("torch" in names) == (use == "train")
    assert all(each["licenses"] and each["version"] for each in document["components"])
    assert "file:" not in text


def make_document(**needs: list[str]) -> dict[str, Any]:
    """Return a bill of materials of packages that need each other."""
    return {
        "metadata": {"component": {"bom-ref": "root"}},
        "components": [{"name": name, "bom-ref": f"{name}==1"} for name in needs],
        "dependencies": [
            {"ref": "root", "dependsOn": [f"{name}==1" for name in needs]},
            *({"ref": f"{name}==1", "dependsOn": depends} for name, depends in needs.items()),
        ],
    }


def test_nothing_is_said_about_packages_that_are_left_out() -> None:
    document = make_document(Some_Thing=["pip==1", "a==1"], a=[], pip=[])
    keep_packages(document, {"some-thing", "a"})
    assert read_components(document) == {"some-thing", "a"}
    assert document["dependencies"] == [
        {"ref": "root", "dependsOn": ["Some_Thing==1", "a==1"]},
        {"ref": "Some_Thing==1", "dependsOn": ["a==1"]},
        {"ref": "a==1", "dependsOn": []},
    ]


def test_a_dependency_that_is_not_installed_is_named(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="not installed: fastexcel, filelock, "):
        write_sbom(Path(sys.executable), "serve", ["train"], tmp_path / "tailfuse.cdx.json")
    assert list(tmp_path.iterdir()) == []


def test_a_licence_that_nobody_states_is_asked_for() -> None:
    with pytest.raises(SystemExit, match="some-thing states no licence; add it to LICENCES"):
        complete_component({"name": "Some_Thing"})
    component: dict[str, Any] = {"name": "protobuf", "licenses": []}
    complete_component(component)
    assert component["licenses"] == [{"license": {"id": "BSD-3-Clause", "acknowledgement": "concluded"}}]
