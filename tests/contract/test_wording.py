"""The glossary's words are the ones that are used."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GLOSSARY = (ROOT / "docs" / "GLOSSARY.md").read_text()
PAGES = [ROOT / "README.md", ROOT / "client" / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
CODE = [
    path
    for folder in ("service", "model", "client", "benchmarks", "monitoring", "docker", "docs")
    for path in sorted((ROOT / folder).rglob("*.py"))
]
ENDS_IN_OF = re.compile(r"[a-z_]+_of")
BOUNDS = re.compile(r"_?(?:MOST|LEAST|FEW|FEWEST)_[A-Z_]+")


def banned() -> tuple[set[str], set[str]]:
    """Return the words that prose, and the names that code, must not have."""
    cells = re.findall(r"^\|[^|]+\|[^|]+\| ([^|]+) \|$", GLOSSARY, re.MULTILINE)
    words = [word.strip() for cell in cells for word in cell.split(",") if cell not in ("do not use", "---")]
    names = {word.strip("`") for word in words if word.startswith("`")}
    return {word for word in words if not word.startswith("`")}, names


def names_in(tree: ast.AST) -> Iterator[str]:
    """Return every name that a module defines."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_pages_use_the_glossary_s_words(page: Path) -> None:
    prose = re.sub(r"```.*?```|`[^`]*`|\]\([^)]*\)|<[^>]*>", " ", page.read_text(), flags=re.DOTALL)
    if page.name == "GLOSSARY.md":
        prose = re.sub(r"\| [^|]* \|$", "", prose, flags=re.MULTILINE)
    found = {word for word in banned()[0] if re.search(rf"\b{re.escape(word)}s?\b", prose, re.IGNORECASE)}
    assert not found


def test_code_uses_the_glossary_s_names() -> None:
    _, names = banned()
    found = [
        (str(path.relative_to(ROOT)), name)
        for path in CODE
        for name in names_in(ast.parse(path.read_text()))
        if name in names or ENDS_IN_OF.fullmatch(name) or BOUNDS.fullmatch(name)
    ]
    assert not found


def test_the_lists_are_read() -> None:
    words, names = banned()
    assert {"picture", "held-out rows"} <= words
    assert {"Vote", "Front", "Serving"} <= names
