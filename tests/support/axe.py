"""Pages in Chromium, and what axe-core finds in them."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

from tests.support.programs import locate

# Chromium asks its maker's hosts for this and that unless it is told not to.
SILENT = (
    "--no-sandbox", "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-quic", "--no-first-run",
)  # fmt: skip
SERIOUS = ("serious", "critical")
LOAD_TIMEOUT_MS = 120_000  # a page must not fail because the machine is busy


@dataclass(frozen=True, slots=True)
class View:
    """How a page is looked at."""

    name: str
    width: int  # in CSS pixels; 320 is what WCAG 1.4.10 asks for
    colours: Literal["light", "dark"]

    def __str__(self) -> str:
        return self.name


PHONE = View("phone", 320, "dark")
VIEWS = (View("light", 1200, "light"), View("dark", 1200, "dark"), PHONE)


@contextmanager
def open_browser() -> Iterator[Browser]:
    """Start the system's Chromium."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=locate("chromium"), args=list(SILENT))
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def open_page(browser: Browser, url: str, view: View) -> Iterator[Page]:
    """Open a page, with everything that can be unfolded unfolded."""
    context = browser.new_context(
        viewport={"width": view.width, "height": 900}, color_scheme=view.colours, reduced_motion="reduce"
    )
    context.set_default_timeout(LOAD_TIMEOUT_MS)
    try:
        page = context.new_page()
        page.goto(url)
        page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true })")
        yield page
    finally:
        context.close()


def find_serious(page: Page) -> list[str]:
    """Return a line for each serious violation, with the first element that has it."""
    response = Axe().run(page).response
    return [
        f"{each['impact']} {each['id']}: {len(each['nodes'])} of {each['nodes'][0]['html'][:300]}"
        for each in response["violations"]
        if each["impact"] in SERIOUS
    ]


def find_overflow(page: Page) -> int:
    """Return by how many pixels a page is wider than its window."""
    return max(0, int(page.evaluate("document.documentElement.scrollWidth - window.innerWidth")))
