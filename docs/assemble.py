"""Put the pages of the site into one folder: docs/, and pages of other folders, with links and formulas.

`make docs` runs it before zensical. Pages name files by their paths in the repository. In the site a link to
a page leads to the page, a link to another file to a copy of it, and a link to a folder to its list of files.
"""

import os
import re
import shutil
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path, PurePosixPath

from docs.formulas import BrokenFormula, replace_formulas
from docs.notebook_page import make_notebook_page

ROOT = Path(__file__).parents[1]
# Pages of other folders, by their path in the repository.
INCLUDED = {
    "README.md": "index.md",
    "CHANGELOG.md": "CHANGELOG.md",
    "CONTRIBUTING.md": "CONTRIBUTING.md",
    "SECURITY.md": "REPORTING.md",
    "client/README.md": "CLIENT.md",
    "client-js/README.md": "CLIENT-JS.md",
    "benchmarks/README.md": "BENCH-PACKAGE.md",
    "benchmarks/gpu_check/README.md": "GPU-CHECK.md",
    "benchmarks/serving_bench/README.md": "SERVING-BENCH.md",
    "benchmarks/serving_bench/RESULTS.md": "SERVING.md",
    "model/tailfuse/quickstart/README.md": "DIGITS.md",
    "results/README.md": "EVALUATION.md",
    "results/report.md": "BENCH-REPORT.md",
    "results/rivals-trial.md": "RIVALS-TRIAL.md",
    "results/tuning.md": "TUNING-REPORT.md",
}
ASSETS = ("docs/site.css", "docs/site.js")
SHOWN_AS_IT_IS = {".html", ".png", ".svg", ".json"}  # any other file becomes .txt, which browsers show
LINK = re.compile(r"(?<=\]\()([^)\s]+)(?=\))")
FENCE = re.compile(r"(^```.*?^```$)", re.DOTALL | re.MULTILINE)


class BrokenLink(ValueError):
    """A page links to something that the repository does not have."""


def find_pages(root: Path = ROOT) -> dict[str, str]:
    """Return each page's path in the site by its path in the repository."""
    pages = {f"docs/{page}": page for page in relative_paths(root / "docs", "*.md")}
    for notebook in relative_paths(root / "docs", "*.ipynb"):
        pages[f"docs/{notebook}"] = notebook.removesuffix(".ipynb") + ".md"
    return pages | {source: page for source, page in INCLUDED.items() if (root / source).exists()}


def relative_paths(folder: Path, pattern: str) -> list[str]:
    """Return the files below a folder that match, as paths relative to it."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob(pattern))


def replace_links(text: str, replace: Callable[[str], str]) -> str:
    """Return a page with each link's target replaced; code blocks stay as they are."""
    parts = FENCE.split(text)
    parts[::2] = [LINK.sub(lambda match: replace(match[0]), part) for part in parts[::2]]
    return "".join(parts)


class Site:
    """The folder of the site's sources, and the files that pages link to."""

    def __init__(self, folder: Path, root: Path = ROOT) -> None:
        self.folder = folder
        self.root = root
        self.pages = find_pages(root)

    def write(self) -> None:
        """Write all pages and what they link to. What the folder held is removed."""
        shutil.rmtree(self.folder, ignore_errors=True)
        for source, page in self.pages.items():
            path = self.root / source
            text = make_notebook_page(path) if path.suffix == ".ipynb" else path.read_text(encoding="utf-8")
            try:
                text = replace_formulas(replace_links(text, partial(self.resolve, source)))
            except BrokenFormula as error:
                raise BrokenFormula(f"{source}: {error}") from error
            path = self.folder / page
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        for asset in ASSETS:
            shutil.copyfile(self.root / asset, self.folder / PurePosixPath(asset).name)

    def resolve(self, source: str, target: str) -> str:
        """Return where a link of a page leads in the site. Raises BrokenLink."""
        if "://" in target or target.startswith(("#", "mailto:")):
            return target
        path, hash_mark, fragment = target.partition("#")
        wanted = os.path.normpath(PurePosixPath(source).parent / path)
        if wanted in self.pages:
            found = self.pages[wanted]
        elif (self.root / wanted).is_dir():
            found, hash_mark, fragment = "FILES.md", "#", make_anchor(wanted, self.root)
        elif (self.root / wanted).is_file():
            found = self.copy(wanted)
        else:
            raise BrokenLink(f"{source}: there is no {wanted}")
        here = PurePosixPath(self.pages[source]).parent
        return os.path.relpath(found, here) + (hash_mark + fragment if fragment else "")

    def copy(self, wanted: str) -> str:
        """Copy a file of the repository to the site and return its path there."""
        path = PurePosixPath(wanted)
        if path.suffix in (".png", ".webp"):
            found = path.relative_to("docs").as_posix()
        else:
            shown = wanted.replace("/.", "/").lstrip(".")  # builders leave hidden files out
            found = f"source/{shown}" if path.suffix in SHOWN_AS_IT_IS else f"source/{shown}.txt"
        (self.folder / found).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(self.root / wanted, self.folder / found)
        return found


def make_anchor(folder: str, root: Path = ROOT) -> str:
    """Return the anchor of the folder, or of the first one in it, in docs/FILES.md; empty if it has none."""
    headings = re.findall(
        r"^## (\S+)/$", (root / "docs" / "FILES.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    for heading in headings:
        if heading == folder or heading.startswith(f"{folder}/"):
            return re.sub(r"[^\w\s-]", "", heading).lower()
    return ""


if __name__ == "__main__":
    try:
        Site(Path(sys.argv[1])).write()
    except (BrokenLink, BrokenFormula) as error:
        sys.exit(str(error))
