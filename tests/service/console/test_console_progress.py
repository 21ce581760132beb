"""Many while its rows are answered: the time left, and what ends a run before its time."""

import re
from collections.abc import Callable

import pytest

from tests.support.browser import Console
from tests.support.many import choose, download, make_file

pytest.importorskip("playwright")
pytestmark = [pytest.mark.e2e, pytest.mark.needs("chromium")]

Open = Callable[..., Console]


@pytest.fixture
def halted(console: Open) -> Console:
    """A run of 1,000 rows, of which the first request is answered and no other one."""
    page = console().show("many")
    page.page.route(
        "**/predict/batch",
        lambda route: None if len(page.bodies("/predict/batch")) > 1 else route.continue_(),
    )
    choose(page, make_file("table.csv", "age\n" + "40\n" * 1000))
    page.page.get_by_role("button", name="Classify").click()
    return page


def test_the_time_left_follows_from_the_time_taken(console: Open) -> None:
    """By a clock that the test moves: 25 of 1,000 rows in 2 s are 78 s for the others."""
    page = console().show("many")
    code = """
      let now = 5000;
      performance.now = () => now;
      const { element } = await import(a);
      const bar = new m.ProgressBar({ element, announce() {} }, 1000, () => {});
      now += 2000;
      bar.update(25);
      const text = bar.node.textContent;
      now += 6000;
      bar.update(50);
      return [text, bar.node.textContent, m.formatTime(99.2), m.formatTime(180)];
    """
    at = (page.page.locator("script[type=module]").get_attribute("src") or "").replace("app.js", "element.js")
    first, second, short, long = page.evaluate("many/progress.js", code, at)
    assert "25 of 1,000, 78 s left" in first
    assert "50 of 1,000, 3 min left" in second  # 152 s
    assert (short, long) == ("100 s", "3 min")


def test_the_time_left_is_shown_while_answers_arrive(halted: Console) -> None:
    shown = halted.find(".progress span", "64 of 1,000")
    shown.wait_for()
    assert re.fullmatch(r"64 of 1,000, \d+ (s|min) left", shown.inner_text())
    halted.page.get_by_role("button", name="Cancel").click()


def test_a_cancelled_run_keeps_what_is_answered_and_sends_no_more(halted: Console) -> None:
    halted.find(".progress", "64 of 1,000").wait_for()
    halted.page.get_by_role("button", name="Cancel").click()
    halted.page.get_by_role("button", name="Download as CSV").wait_for()
    assert halted.find(".progress p").inner_text() == "Cancelled: 64 of 1,000 rows, 0 with a problem"
    sent = len(halted.bodies("/predict/batch"))
    assert sent <= 3
    assert len(download(halted)) == 64
    halted.page.unroute_all(behavior="ignoreErrors")
    halted.page.get_by_role("button", name="Classify again").click()
    halted.find(".progress p", "Done: 1,000 of 1,000 rows").wait_for()
    assert halted.page.evaluate("document.querySelectorAll('.grid tbody tr').length") < 60


def test_leaving_the_view_ends_its_requests(console: Open) -> None:
    page = console().show("many")
    page.page.route("**/predict/batch", lambda route: None)
    choose(page, make_file("table.csv", "age\n" + "40\n" * 1000))
    page.page.get_by_role("button", name="Classify").click()
    page.find(".progress progress").wait_for()
    with page.page.expect_event("requestfailed"):
        page.follow("Watch")
