"""The report in Chromium: axe-core finds nothing serious, and nothing is wider than a phone."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from click.testing import CliRunner
from playwright.sync_api import Browser
from tailfuse.cli import main

from tests.support.axe import (
    LOAD_TIMEOUT_MS,
    PHONE,
    VIEWS,
    View,
    find_overflow,
    find_serious,
    open_browser,
    open_page,
)
from tests.support.reports import write_large_report

pytestmark = [pytest.mark.slow, pytest.mark.needs("chromium")]
MAX_BYTES = 5_000_000
PAPER_WIDTH = 688  # CSS pixels between the margins of A4
IS_SHOWN = "(each) => each.checkVisibility({ contentVisibilityAuto: true })"
# Boxes that cut something off, which on paper nobody can scroll to; texts for screen readers are none.
FIND_CUT = """() => [...document.querySelectorAll("body *")].filter((each) =>
  getComputedStyle(each).overflow !== "visible" && !each.matches(".hidden, svg, svg *")
  && (each.scrollWidth > each.clientWidth + 1 || each.scrollHeight > each.clientHeight + 1)
).map((each) => each.outerHTML.slice(0, 200))"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_browser() as browser:
        yield browser


@pytest.fixture(scope="module")
def evaluated(trained: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of every section, with rows in clear: half of the labels are wrong."""
    folder = tmp_path_factory.mktemp("evaluated")
    (folder / "pictures").symlink_to(trained.spec.table.parent / "pictures")
    table, out = folder / "table.csv", folder / "evaluation.json"
    wrong = pl.read_csv(trained.spec.table).with_columns(
        pl.col("label").replace({"oak": "elm", "elm": "oak"})
    )
    wrong.write_csv(table)
    command = ["evaluate", str(trained.bundle), str(table), "--out", str(out), "--report-rows", "all"]
    done = CliRunner().invoke(main, command)
    assert done.exit_code == 0, done.output
    return out.with_suffix(".html")


@pytest.fixture(scope="module")
def reports(trained: Any, evaluated: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("large")
    return {
        "training": trained.bundle / "report.html",
        "evaluation": evaluated,
        "1,000 classes": write_large_report(folder / "classes.html", n_classes=1000, n_modalities=2),
        "40 modalities": write_large_report(folder / "modalities.html", n_classes=12, n_modalities=40),
    }


@pytest.mark.parametrize(
    ("name", "view"),
    [
        *((name, view) for name in ("training", "evaluation") for view in VIEWS),
        ("1,000 classes", PHONE),
        ("40 modalities", PHONE),
    ],
    ids=str,
)
def test_nothing_serious_is_wrong_with_a_report(
    reports: dict[str, Path], browser: Browser, name: str, view: View
) -> None:
    with open_page(browser, reports[name].as_uri(), view) as page:
        assert find_serious(page) == []
        assert find_overflow(page) == 0
        # The style follows the browser's setting.
        background = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (background == "rgb(22, 22, 21)") == (view.colours == "dark")


@pytest.mark.parametrize("name", ["training", "evaluation", "40 modalities"])
def test_on_paper_everything_is_shown_in_black_on_white(
    reports: dict[str, Path], browser: Browser, name: str
) -> None:
    context = browser.new_context(viewport={"width": PAPER_WIDTH, "height": 1000}, color_scheme="dark")
    context.set_default_timeout(LOAD_TIMEOUT_MS)
    with closing(context):
        page = context.new_page()
        page.goto(reports[name].as_uri())
        page.emulate_media(media="print")
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        assert page.evaluate("getComputedStyle(document.body).color") == "rgb(0, 0, 0)"
        assert find_overflow(page) == 0
        assert page.evaluate(FIND_CUT) == []
        folded = page.locator("details:not([open]) > :not(summary)")
        assert folded.count() > 0
        assert folded.evaluate_all(f"each => each.every({IS_SHOWN})")
        page.emulate_media(media="screen")
        assert not folded.evaluate_all(f"each => each.some({IS_SHOWN})")


@pytest.mark.parametrize("name", ["1,000 classes", "40 modalities"])
def test_a_large_model_has_a_small_report(reports: dict[str, Path], name: str) -> None:
    assert reports[name].stat().st_size < MAX_BYTES
