"""Write docs/console/REPORT.md, what Playwright and axe found in the console: `make console-report`.

Runs the console's tests, then opens each view in Chromium and has axe check it. The model is the tests' tiny
bundle: an image, four columns and a text of two columns.
"""

import gzip
import shlex
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from xml.etree import ElementTree

from tailfuse_service.bundle.files import CARD
from tailfuse_service.http.routes.console import FOLDER, MEDIA_TYPES

from tests.support.browser import AxeResult, Console, launch, run_axe
from tests.support.bundles import add_file, write_tiny_bundle
from tests.support.console_pictures import VIEWS, classify_examples
from tests.support.process import ran, start_service

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ROOT = Path(__file__).parents[2]
TARGET = ROOT / "docs" / "console" / "REPORT.md"
TESTS = "-m 'not slow' -n 2 --dist loadscope tests/service/console"
TESTS_TIMEOUT_S = 3600
LOOKS: dict[str, dict[str, Any]] = {
    "light": {"color_scheme": "light", "viewport": {"width": 1200, "height": 900}},
    "dark": {"color_scheme": "dark", "viewport": {"width": 1200, "height": 900}},
    "phone": {"color_scheme": "light", "viewport": {"width": 320, "height": 640}},
}
HEADER = """# Checks of the console

Written by `make console-report`; do not edit.
"""


class Checked(NamedTuple):
    """A view as axe saw it."""

    view: str
    look: str
    result: AxeResult


class TestFile(NamedTuple):
    """What the tests of a file came to."""

    name: str
    passed: int
    failed: int
    skipped: int


def main() -> None:
    """Run the tests and the checks, and write the page. Ends with status 1 if anything was found."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = run_tests(folder / "junit.xml")
        bundle = add_file(write_tiny_bundle(folder / "bundle"), CARD, b"# Card\n\nA model of the tests.\n")
        service = start_service(bundle, log=folder / "service.log")
        try:
            checked = [each for browser in launch() for each in check_views(browser, service.url)]
        finally:
            service.stop()
    parts = [HEADER, *describe_tests(files), *describe_checks(checked), *describe_sizes()]
    TARGET.write_text("\n".join(parts) + "\n", encoding="utf-8")
    found = sum(len(each.result.violations) for each in checked) + sum(each.failed for each in files)
    sys.exit(1 if found else 0)


def run_tests(junit: Path) -> list[TestFile]:
    """Run the console's tests; return what each file came to. A test without its program is skipped."""
    command = (sys.executable, "-m", "pytest", "-q", *shlex.split(TESTS), f"--junitxml={junit}")
    done = ran(*command, cwd=ROOT, timeout=TESTS_TIMEOUT_S)
    assert done.returncode in (0, 1), done.stdout  # 1: tests failed, which the page says
    if done.returncode:
        print(done.stdout)  # says which
    files: dict[str, list[str]] = {}
    for case in ElementTree.parse(junit).iter("testcase"):
        outcome = next((each.tag for each in case if each.tag in ("failure", "error", "skipped")), "passed")
        files.setdefault(case.get("classname", "").rpartition(".")[2], []).append(outcome)
    return [
        TestFile(
            f"{name}.py",
            found.count("passed"),
            found.count("failure") + found.count("error"),
            found.count("skipped"),
        )
        for name, found in sorted(files.items())
    ]


def check_views(browser: "Browser", url: str) -> Iterator[Checked]:
    """Open each view in each look with a sample, and check it."""
    for look, options in LOOKS.items():
        console = Console(browser.new_context(reduced_motion="reduce", **options), url).show()
        console.fill_in()
        for view in VIEWS:
            console.follow(view)
            prepare(console, view)
            yield Checked(view, look, run_axe(console.page))
        console.close()


def prepare(console: Console, view: str) -> None:
    """Wait until a view shows what it has to show, and unfold what can be unfolded."""
    if view == "Try":
        console.find("caption", "What each modality adds").wait_for()
    if view == "Damage":
        console.damage(50)
    if view == "Many":
        classify_examples(console)
    if view == "Watch":
        console.find("td", "stable").wait_for()
    if view == "About":
        console.find(".card h3").first.wait_for()
    console.find("main").locator("table, .card").first.wait_for()
    console.page.evaluate("document.querySelectorAll('main details').forEach((each) => { each.open = true })")


def describe_tests(files: list[TestFile]) -> list[str]:
    """Return the section of the tests."""
    total = TestFile("all", *(sum(column) for column in zip(*(each[1:] for each in files), strict=True)))
    return [
        "## Playwright and the other tests", "",
        f"`pytest {TESTS}`: in Chromium by Playwright, of modules in Node, and of the files that are sent.",
        "",
        "| file | passed | failed | skipped |", "|---|---:|---:|---:|",
        *(f"| {each.name} | {each.passed} | {each.failed} | {each.skipped} |" for each in [*files, total]),
        "",
    ]  # fmt: skip


def describe_checks(checked: list[Checked]) -> list[str]:
    """Return the section of axe."""
    lines = [
        "## axe", "",
        "Each view with a sample, on the tests' tiny bundle, with everything unfolded; the phone is 320 "
        "pixels wide. The rules are all that axe has for WCAG 2.0 to 2.2, A and AA, `target-size` included, "
        "and its best practices. Where axe cannot decide on a rule, a person has to look.", "",
        "| view | look | rules passed | undecided | violations |", "|---|---|---:|---|---:|",
    ]  # fmt: skip
    for view, look, result in checked:
        undecided = ", ".join(f"`{each}`" for each in result.undecided) or "none"
        lines.append(f"| {view} | {look} | {len(result.passed)} | {undecided} | {len(result.violations)} |")
    found = [f"- {each.view}, {each.look}: `{line}`" for each in checked for line in each.result.violations]
    rules = sorted({rule for each in checked for rule in each.result.passed})
    passed = [
        f"| `{rule}` | {' | '.join(list_looks(checked, rule, view) for view in VIEWS)} |" for rule in rules
    ]
    head = [f"| rule | {' | '.join(VIEWS)} |", "|---|" + "---|" * len(VIEWS)]
    return [*lines, "", *found, "### The rules that passed", "", *head, *passed, ""]


def list_looks(checked: list[Checked], rule: str, view: str) -> str:
    """Return the looks of a view in which a rule passed. In others it had nothing to check, or is above."""
    looks = [each.look for each in checked if each.view == view and rule in each.result.passed]
    return "all" if len(looks) == len(LOOKS) else ", ".join(looks) or "–"


def describe_sizes() -> list[str]:
    """Return the section of sizes: of the files as they are, and with gzip, as browsers ask for them."""
    files = [path for path in sorted(FOLDER.rglob("*")) if path.suffix in MEDIA_TYPES]
    vendored = [path for path in files if path.parent.name == "vendor"]
    own = [path for path in files if path not in vendored]
    parts = {
        "the page's own modules": [path for path in own if path.suffix == ".js"],
        "its styles": [path for path in own if path.suffix == ".css"],
        "its pages and its icon": [path for path in own if path.suffix in (".html", ".svg")],
        "all of its own": own,
        "libraries for Parquet and ZIP, minified": vendored,
        "all": files,
    }
    rows = [
        f"| {part} | {len(paths)} | {sum(path.stat().st_size for path in paths):,} | "
        f"{sum(len(gzip.compress(path.read_bytes())) for path in paths):,} |"
        for part, paths in parts.items()
    ]
    return [
        "## Sizes", "",
        "In bytes: as the files are, and with gzip, as a browser gets them. Own modules are sent as they are "
        "written, with comments and types. The libraries are loaded with the first Parquet file or ZIP.", "",
        "| part | files | as they are | as sent |", "|---|---:|---:|---:|", *rows,
    ]  # fmt: skip


if __name__ == "__main__":
    main()
