"""Write docs/FILES.md: every module and the first sentence of its docstring, by folder."""

import ast
import re
import subprocess
import sys
from itertools import groupby
from pathlib import Path

ROOT = Path(__file__).parent.parent
FOLDERS = (
    "service",
    "model",
    "client",
    "benchmarks",
    "deploy",
    "monitoring",
    "docker",
    "docs",
    "openapi",
    "release",
)
END_OF_SENTENCE = re.compile(r"(?<!\bet al)\. ")
HEADER = "# Every file in a line\n\nWritten by `make files` from the modules' docstrings; do not edit.\n"


def first_sentence(path: Path) -> str:
    """Return the first sentence of a module's docstring. Raises ValueError if it has none."""
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    if not docstring:
        raise ValueError(f"{path} has no docstring")
    paragraph = " ".join(docstring.split("\n\n")[0].split())
    return END_OF_SENTENCE.split(paragraph, maxsplit=1)[0].rstrip(".:")


def tracked_modules() -> list[Path]:
    """Return the Python modules that git knows, relative to the root, packages' empty ones left out."""
    tracked = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    patterns = [f"{folder}/*.py" for folder in FOLDERS]
    listed = subprocess.run([*tracked, *patterns], cwd=ROOT, capture_output=True, text=True, check=True)
    paths = sorted(map(Path, set(listed.stdout.split())), key=lambda path: (path.parent, path.name))
    return [path for path in paths if (ROOT / path).is_file() and (ROOT / path).stat().st_size]


def page() -> str:
    """Return the page's text. Raises ValueError if a module has no docstring."""
    lines = [HEADER]
    for folder, paths in groupby(tracked_modules(), lambda path: path.parent):
        lines += [f"## {folder}/\n", "| file | what it holds |", "| --- | --- |"]
        for path in paths:
            sentence = first_sentence(ROOT / path).replace("|", "\\|")
            lines.append(f"| [{path.name}](../{path}) | {sentence} |")
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    try:
        (ROOT / "docs" / "FILES.md").write_text(page(), encoding="utf-8")
    except ValueError as error:
        sys.exit(str(error))
