"""axe-core finds nothing serious on pages of the documentation site, and none is wider than a phone."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.support.axe import VIEWS, View, find_overflow, find_serious, open_browser, open_page

SITE = Path(__file__).parents[2] / "build" / "site"
PAGES = ("index.html", "howto/report.html", "reference/spec-keys.html")  # prose, figures, wide tables
pytestmark = [
    pytest.mark.slow,
    pytest.mark.needs("chromium"),
    pytest.mark.skipif(not SITE.exists(), reason="the site is not built: make docs"),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_browser() as browser:
        yield browser


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.name)
@pytest.mark.parametrize("name", PAGES)
def test_nothing_serious_is_wrong_with_a_page(browser: Browser, name: str, view: View) -> None:
    with open_page(browser, (SITE / name).as_uri(), view) as page:
        assert find_serious(page) == []
        assert find_overflow(page) == 0
