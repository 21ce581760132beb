"""requirements/ lists every package of an installation, in the version of constraints.txt, with sums."""

import re
from importlib.metadata import requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from release.lock import LOCKS, TORCH
from release.lowest import normalise, parse_requirement

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "requirements").glob("*.txt"))
TESTED = dict(
    parse_requirement(line)
    for line in (ROOT / "constraints.txt").read_text().splitlines()
    if line and line[0] != "#"
)
# Packages whose versions are not those of constraints.txt: CUDA, and the onnxruntime that is built for it.
BUILDS = {"torch", "gpu"}
# `make fuzz` alone installs it, by its version.
NOT_LISTED = {"atheris"}
BLOCK = re.compile(
    r"(?P<name>[a-z0-9-]+)==(?P<version>[\w.!]+)(?: ; [^\\\n]+)?(?: \\\n {4}--hash=sha256:[0-9a-f]{64})+\n"
)


def read_pins(name: str) -> dict[str, str]:
    """Return the version of every package of a file."""
    text = (ROOT / "requirements" / f"{name}.txt").read_text()
    return {match["name"]: match["version"] for match in BLOCK.finditer(text)}


def collect_needs(requirement: str) -> set[str]:
    """Return the names of all packages that a requirement brings here, its own project's left out."""
    found: set[str] = set()
    waiting, seen = [Requirement(requirement)], set()
    while waiting:
        need = waiting.pop()
        name = normalise(need.name)
        found.add(name)
        for extra in need.extras | {""}:
            if (name, extra) in seen:
                continue
            seen.add((name, extra))
            needs = map(Requirement, requires(name) or [])
            waiting += [
                each for each in needs if each.marker is None or each.marker.evaluate({"extra": extra})
            ]
    return {name for name in found if name.partition("-")[0] != "tailfuse"}


def test_there_is_a_file_for_every_use() -> None:
    assert {path.stem for path in FILES} == {*LOCKS, *BUILDS, "build"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_package_has_a_version_and_a_sum_and_nothing_else_is_there(path: Path) -> None:
    header, _, pins = path.read_text().partition("\n")
    assert header.startswith("# Written by `make lock`.")
    assert BLOCK.sub("", pins) == ""
    assert pins


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_versions_are_those_of_the_constraints(path: Path) -> None:
    pins = read_pins(path.stem)
    if path.stem not in BUILDS:
        assert {name: TESTED.get(name) for name in pins} == pins
    assert {name: pins[name] for name in pins.keys() & TESTED.keys()} == {
        name: TESTED[name] for name in pins.keys() & TESTED.keys()
    }


def test_every_constraint_is_in_a_file() -> None:
    assert (
        TESTED.keys() - NOT_LISTED
        == {name for path in FILES for name in read_pins(path.stem)} & TESTED.keys()
    )


@pytest.mark.parametrize("name", LOCKS)
def test_a_file_has_everything_that_its_extras_bring(name: str) -> None:
    listed = read_pins(name).keys() | (read_pins("torch").keys() if name != "serve" else set())
    needed = {need for each in LOCKS[name] for need in collect_needs(each)}
    assert needed - listed == set()


def test_a_build_of_torch_is_in_a_file_of_its_own() -> None:
    assert all(TORCH.match(f"{name}==") for name in read_pins("torch"))
    assert not [name for each in LOCKS for name in read_pins(each) if TORCH.match(f"{name}==")]


def test_the_gpu_s_file_has_what_its_requirements_name() -> None:
    lines = (ROOT / "docker" / "requirements-gpu.txt").read_text().splitlines()
    named = dict(
        parse_requirement(line.partition("#")[0].strip()) for line in lines if line and line[0] != "#"
    )
    assert named.items() <= read_pins("gpu").items()
