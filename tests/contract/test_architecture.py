"""docs/ARCHITECTURE.md shows the layers that import-linter checks, and names files that exist."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "ARCHITECTURE.md").read_text()
PACKAGES = [ROOT, ROOT / "service" / "tailfuse_service", ROOT / "model" / "tailfuse"]
CODE = "\n".join(path.read_text() for package in PACKAGES[1:] for path in package.rglob("*.py"))
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]


def read_layers(contract: str) -> list[set[str]]:
    """Return the layers of a contract, each as the set of its parts."""
    [layers] = [each["layers"] for each in CONTRACTS if each["name"].startswith(contract)]
    return [set(re.findall(r"\w+", layer.replace("tailfuse.", ""))) for layer in layers]


def drawn_layers(heading: str) -> list[set[str]]:
    """Return the layers that the page draws under a heading: the first word of each line, or words with │."""
    [drawing] = re.findall(rf"## {heading}\n.*?```\n(.*?)```", PAGE, re.DOTALL)
    layers = [re.split(r"\s{2,}", line.strip())[0] for line in drawing.splitlines()]
    return [{part.strip() for part in layer.split("│")} for layer in layers]


def test_the_layers_of_the_service_are_those_that_are_checked() -> None:
    assert drawn_layers("Layers of the service") == read_layers("the rooms of service")


def test_the_layers_of_the_model_are_those_that_are_checked() -> None:
    checked = [layer for layer in read_layers("the rooms of model") if layer != {"tailfuse_bench"}]
    assert drawn_layers("Layers of the model") == checked


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`([\w/]+(?:/|\.py))`", PAGE))))
def test_a_file_that_it_names_exists(name: str) -> None:
    assert any((package / name).exists() for package in PACKAGES), name


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`[A-Z]\w+\.(\w+)`|`(\w+)\(\)`", PAGE))), ids="".join)
def test_a_function_that_it_names_is_defined(name: tuple[str, str]) -> None:
    assert re.search(rf"^ *(?:async )?def {''.join(name)}\b", CODE, re.MULTILINE)
