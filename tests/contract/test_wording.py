"""The glossary's words are the ones that are used."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GLOSSARY = (ROOT / "docs" / "GLOSSARY.md").read_text()
PAGES = [
    path
    for folder in (
        "",
        "docs",
        "docs/howto",
        "docs/reference",
        "docs/tutorials",
        "client",
        "client-js",
        "benchmarks",
        "benchmarks/serving_bench",
        "model/tailfuse/quickstart",
        "results",
    )
    for path in sorted((ROOT / folder).glob("*.md"))
    if path.name != "report.md"  # written by the bench
]
CODE = [
    path
    for folder in ("service", "model", "client", "benchmarks", "monitoring", "docker", "docs")
    for path in sorted((ROOT / folder).rglob("*.py"))
]
TESTS = sorted((ROOT / "tests").rglob("*.py"))
ENDS_IN_OF = re.compile(r"[a-z_]+_of")
BOUNDS = re.compile(r"_?(?:MOST|LEAST|FEW|FEWEST)_[A-Z_]+")


def banned() -> tuple[set[str], set[str]]:
    """Return the words that prose, and the names that code, must not have."""
    cells = re.findall(r"^\|[^|]+\|[^|]+\|[^|]+\| ([^|]+) \|$", GLOSSARY, re.MULTILINE)
    words = [word.strip() for cell in cells for word in cell.split(",") if cell != "do not use"]
    names = {word.strip("`") for word in words if word.startswith("`")}
    return {word for word in words if not word.startswith("`")}, names


WORDS, NAMES = banned()


def names_in(tree: ast.AST) -> Iterator[str]:
    """Return every name that a module defines."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id


def find_words(prose: str) -> set[str]:
    """Return the words of the last column that a text has."""
    return {word for word in WORDS if re.search(rf"\b{re.escape(word)}s?\b", prose, re.IGNORECASE)}


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_pages_use_the_glossary_s_words(page: Path) -> None:
    prose = re.sub(r"```.*?```|`[^`]*`|\]\([^)]*\)|<[^>]*>", " ", page.read_text(), flags=re.DOTALL)
    if page.name == "GLOSSARY.md":
        prose = re.sub(r"\| [^|]* \|$", "", prose, flags=re.MULTILINE)
    assert not find_words(prose)


def test_code_uses_the_glossary_s_names() -> None:
    found = [
        (str(path.relative_to(ROOT)), name)
        for path in CODE
        for name in names_in(ast.parse(path.read_text()))
        if name in NAMES or ENDS_IN_OF.fullmatch(name) or BOUNDS.fullmatch(name)
    ]
    assert not found


def test_helpers_of_the_tests_are_verb_and_noun() -> None:
    found = [
        (str(path.relative_to(ROOT)), name)
        for path in TESTS
        for name in names_in(ast.parse(path.read_text()))
        if ENDS_IN_OF.fullmatch(name) and not name.startswith("test_")  # a test's name is a sentence
    ]
    assert not found


def prose_in(path: Path) -> Iterator[str]:
    """Yield every comment and every string of a module: docstrings, messages, help texts.

    Strings that are a name with dots are not prose: weights in others' files have such names.
    """
    for token in tokenize.generate_tokens(io.StringIO(path.read_text()).readline):
        is_name = re.fullmatch(r"[\"']\w+(\.\w+)+[\"']", token.string)
        if token.type in (tokenize.COMMENT, tokenize.STRING) and not is_name:
            yield " ".join(token.string.split())


def test_comments_docstrings_and_messages_use_the_glossary_s_words() -> None:
    found = {
        (str(path.relative_to(ROOT)), word)
        for path in CODE
        for prose in prose_in(path)
        for word in find_words(prose)
    }
    assert not found


def test_the_lists_are_read() -> None:
    assert {"picture", "held-out rows"} <= WORDS
    assert {"Vote", "Front", "Serving"} <= NAMES
