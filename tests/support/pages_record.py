"""Write docs/TESTED.md: which blocks of code of the documentation tests run, and why the others are not run.

`make docs-report` runs it, and tests/contract/test_code_blocks.py holds that the page is current.
"""

import json
import re
from collections.abc import Mapping, Sequence

from docs.assemble import find_pages
from docs.tables import make_table
from tests.support.pages import CODE, ROOT, Block, find_test, read_blocks

RECORD = ROOT / "docs" / "TESTED.md"
NOTEBOOKS_TEST = "tests/e2e/test_notebooks.py"
# What is checked of the blocks that are not code.
CHECKED = {
    "json": "valid; an answer fits the schema of answers",
    "math": "the site's builder can convert it to MathML",
    "promql": "Prometheus can parse it",
    "text": "what programs print: no command hides in it",
    "yaml": "a spec, or a part of one, is valid",
}
HEADER = "<!-- Written by `make docs-report` from the pages and tests; do not edit. -->\n"


def read_all_blocks() -> list[Block]:
    """Return the blocks of all pages."""
    return [block for page in sorted(find_pages()) if page.endswith(".md") for block in read_blocks(page)]


def count_cells() -> dict[str, int]:
    """Return the number of code cells of each notebook, by its path in the repository."""
    cells = {
        path: json.loads((ROOT / path).read_text())["cells"] for path in find_pages() if ".ipynb" in path
    }
    return {path: sum(each["cell_type"] == "code" for each in cells[path]) for path in sorted(cells)}


def make_record(blocks: Sequence[Block] | None = None, cells: Mapping[str, int] | None = None) -> str:
    """Return the page."""
    blocks = read_all_blocks() if blocks is None else blocks
    cells = count_cells() if cells is None else cells
    code = [block for block in blocks if block.language in CODE]
    n_run = sum(bool(find_test(block)) for block in code)
    pages = list(dict.fromkeys(block.page for block in code))
    notebooks = [(link(path), count, link(NOTEBOOKS_TEST)) for path, count in cells.items()]
    marked = [
        (link(block.page), f"`{get_first_command(block)}`", block.reason) for block in code if block.reason
    ]
    return f"""{HEADER}
# What tests run of these pages

| blocks of code | |
|---|---|
| on {len(pages)} pages | {len(code)} |
| that tests run | {n_run} |
| that are not run | {len(code) - n_run} |

A test takes a block from its page as it stands. Trainings are shorter there, and services listen on a free
port. `make test-system` runs all of these tests.

## Notebooks

{make_table(["notebook", "cells that are run", "test"], notebooks)}

## Blocks of code

{make_table(["page", "run", "not run", "test"], [make_row(page, code) for page in pages])}

## Why the others are not run

{make_table(["page", "first line", "reason"], marked)}

## Blocks that are not code

{make_table(["language", "blocks", "what is checked"], make_other_rows(blocks))}
"""


def get_first_command(block: Block) -> str:
    """Return the first line of a block without its comment."""
    return re.sub(r"\s+(#.*|\\)$", "", block.text.splitlines()[0])


def make_row(page: str, code: Sequence[Block]) -> tuple[str, int, int, str]:
    """Return the row of a page: how many blocks are run and are not, and by which tests."""
    tests = [find_test(block) for block in code if block.page == page]
    named = ", ".join(link(test) for test in dict.fromkeys(filter(None, tests)))
    return link(page), sum(map(bool, tests)), tests.count(""), named


def make_other_rows(blocks: Sequence[Block]) -> list[tuple[str, int, str]]:
    """Return the rows of the languages that are no code."""
    languages = [block.language or "text" for block in blocks if block.language not in CODE]
    return [(each, languages.count(each), CHECKED[each]) for each in sorted(set(languages))]


def link(path: str) -> str:
    """Return a link to a file of the repository; its text is the path without what all have in common."""
    target = path.removeprefix("docs/") if path.startswith("docs/") else f"../{path}"
    return f"[{path}]({target})"


if __name__ == "__main__":
    RECORD.write_text(make_record(), encoding="utf-8")
