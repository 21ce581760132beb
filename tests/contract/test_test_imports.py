"""Tests share code in tests/support only: a test module can be moved without a look at the others."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
MODULES = sorted(TESTS.rglob("*.py"))


def imported_modules(path: Path) -> Iterator[str]:
    """Yield the full name of every module that a file imports."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            yield node.module or ""


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(TESTS)))
def test_of_the_tests_only_support_is_imported(path: Path) -> None:
    of_tests = {name for name in imported_modules(path) if name.partition(".")[0] in ("tests", "conftest")}
    assert {name for name in of_tests if not name.startswith("tests.support.")} == set()


def test_no_folder_of_tests_is_a_package() -> None:
    """With --import-mode=importlib a test's name is its path, and two files may have one name."""
    assert list(TESTS.rglob("__init__.py")) == []
