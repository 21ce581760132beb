"""A notebook as a page: its texts, its code, and what it printed and drew when it was run last."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

TABLE = re.compile(r"<table.*</table>", re.DOTALL)
COMMAND = re.compile(r"^[!%]", re.MULTILINE)  # of IPython or the shell: no Python to highlight


def make_notebook_page(path: Path) -> str:
    """Return a notebook as Markdown."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return "\n\n".join(part for cell in cells for part in make_cell(cell)) + "\n"


def make_cell(cell: dict[str, Any]) -> Iterator[str]:
    """Yield a cell's text, or its code and outputs."""
    source = "".join(cell["source"])
    if cell["cell_type"] == "markdown":
        yield source
        return
    language = "text" if COMMAND.search(source) else "python"
    yield f"```{language}\n{source}\n```"
    for output in cell["outputs"]:
        yield from make_output(output)


def make_output(output: dict[str, Any]) -> Iterator[str]:
    """Yield what a cell printed: a chart, a table as HTML, or text."""
    data = {kind: "".join(value) for kind, value in output.get("data", {}).items()}
    page = data.get("text/html", "")
    table = None if "<script" in page else TABLE.search(page)  # what has a script is no plain table
    if "image/png" in data:
        yield f'<img alt="Chart that the cell draws" src="data:image/png;base64,{data["image/png"].strip()}">'
    elif table:
        plain = re.sub(r"<table[^>]*>", "<table>", table[0])  # the theme lets a table without a class scroll
        yield re.sub(r"\n\s*", "", plain)  # Markdown would end the table at an empty line
    elif printed := "".join(output.get("text") or data.get("text/plain") or "").strip("\n"):
        yield f"```text\n{printed}\n```"
