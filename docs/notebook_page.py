"""A notebook as a page: its texts, its code, and what it printed when it was run last."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

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
        text = output.get("text") or output.get("data", {}).get("text/plain") or ""
        printed = "".join(text).strip("\n")
        if printed:
            yield f"```text\n{printed}\n```"
