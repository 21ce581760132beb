"""The console by the keyboard alone: the focus is seen and never lost, and each live text is said once."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tailfuse_service.bundle.files import CARD, REPORT

from tests.support.browser import Console
from tests.support.bundles import add_file, write_tiny_bundle
from tests.support.process import Service, until

if TYPE_CHECKING:
    from playwright.sync_api import Locator

pytest.importorskip("playwright")
pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.needs("chromium")]

Open = Callable[..., Console]
Start = Callable[..., Service]
MAX_STOPS = 80  # of Tab: no view has more
# What is focused, whether that can be seen, and whether it comes after what was focused before.
READ_FOCUS = """() => {
  const node = document.activeElement, before = window.lastStop;
  window.lastStop = node;
  const { outlineStyle, outlineWidth } = getComputedStyle(node);
  const box = node.getBoundingClientRect();
  return {
    name: `${node.tagName} ${node.getAttribute("aria-label") ?? node.labels?.[0]?.textContent ?? node.textContent.slice(0, 60)}`,
    isLost: node === document.body || node === document.documentElement,
    isSeen: outlineStyle !== "none" && parseFloat(outlineWidth) >= 2 && box.width > 0 && box.height > 0 &&
      box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth,
    isAfter: !before?.isConnected || Boolean(before.compareDocumentPosition(node) & Node.DOCUMENT_POSITION_FOLLOWING),
  };
}"""  # noqa: E501
# Texts that live regions have said, in order.
LISTEN = """() => {
  window.said = [];
  const live = "[role=status], [role=alert], [aria-live], output";
  new MutationObserver((changes) => {
    const nodes = changes.map(({ target }) => target instanceof Element ? target : target.parentElement);
    const fresh = changes.flatMap((change) => [...change.addedNodes]);
    const added = fresh.filter((node) => node instanceof Element);
    const regions = [...nodes.map((node) => node?.closest(live)),
      ...added.flatMap((node) => [node.matches(live) ? node : null, ...node.querySelectorAll(live)])];
    for (const region of new Set(regions)) if (region?.textContent) window.said.push(region.textContent);
  }).observe(document.body, { subtree: true, childList: true, characterData: true });
}"""


def is_focused(target: "Locator") -> bool:
    return target.count() == 1 and bool(target.evaluate("(node) => node === document.activeElement"))


def check_focus(console: Console) -> None:
    """Check that something has the focus, and that a sighted user sees what."""
    found = console.page.evaluate(READ_FOCUS)
    assert not found["isLost"], "the focus is lost"
    assert found["isSeen"], found["name"]


def tab_to(console: Console, target: "Locator", *, backwards: bool = False) -> None:
    """Press Tab until the target has the focus; each stop is seen, and comes after the one before."""
    console.page.evaluate("() => void (window.lastStop = null)")
    for _ in range(MAX_STOPS):
        console.page.keyboard.press("Shift+Tab" if backwards else "Tab")
        found = console.page.evaluate(READ_FOCUS)
        assert not found["isLost"], f"the page ends before {target}"
        assert found["isSeen"], found["name"]
        assert backwards or found["isAfter"], found["name"]
        if is_focused(target):
            return
    raise AssertionError(f"{MAX_STOPS} stops do not reach {target}")


def go_to(console: Console, title: str) -> None:
    """Go to a view by its tab; its heading then has the focus."""
    tab_to(console, console.page.get_by_role("link", name=title, exact=True), backwards=True)
    console.page.keyboard.press("Enter")
    heading = console.find(f'section[aria-label="{title}"] h2')
    heading.wait_for()
    until(lambda: is_focused(heading), "the heading has the focus")
    check_focus(console)


@pytest.fixture
def bundle_folder(tmp_path: Path) -> Path:
    folder = write_tiny_bundle(tmp_path / "bundle")
    add_file(folder, CARD, b"# Card\n\n| class | rows |\n|---|---:|\n| nv | 90 |\n")
    return add_file(folder, REPORT, b'<title>R</title><a id="up" href="#up">Up</a>' + b"<p>x</p>" * 200)


def test_all_views_are_used_without_a_mouse(start_console: Start, console: Open, bundle_folder: Path) -> None:
    page = console(start_console(bundle_folder, "--share-report").url).show()
    role, keys = page.page.get_by_role, page.page.keyboard
    example = role("button", name="Plausible values")
    tab_to(page, example)
    keys.press("Enter")
    page.page.get_by_text("What each modality adds").wait_for()
    assert is_focused(example)
    tab_to(page, page.page.get_by_label("age", exact=True))
    with page.page.expect_request(lambda sent: '"age":41,' in (sent.post_data or "")):
        keys.type("41")

    go_to(page, "Switch")
    switch = role("switch", name="image")
    tab_to(page, switch)
    keys.press("Space")
    page.find("tr.chosen", "clinical + notes").wait_for()
    assert is_focused(switch)
    tab_to(page, page.find("summary", "Python"))
    keys.press("Enter")
    tab_to(page, page.page.get_by_label("The request in Python", exact=True))

    go_to(page, "Damage")
    slider = role("slider", name="Strength of the damage to image")
    tab_to(page, slider)
    for key in ("ArrowRight", "ArrowRight", "PageUp"):
        keys.press(key)
    assert slider.get_attribute("aria-valuetext") == "12 percent"
    numbers = page.find("summary", "The numbers")
    numbers.wait_for()
    tab_to(page, numbers)
    keys.press("Enter")
    page.find("table", "Damage to image").wait_for()
    assert is_focused(numbers)

    go_to(page, "Many")
    tab_to(page, page.page.get_by_label("Choose or drop a table"))
    with page.page.expect_file_chooser() as opened:
        keys.press("Space")
    table = "age\n" + "".join(f"{age}\n" for age in range(60)) + "old\n"
    opened.value.set_files({"name": "rows.csv", "mimeType": "text/csv", "buffer": table.encode()})
    start = role("button", name="Classify 61 rows")
    start.wait_for()
    assert is_focused(start)
    check_focus(page)
    keys.press("Enter")
    role("button", name="Download as CSV").wait_for()
    check_focus(page)
    assert is_focused(role("button", name="Download as CSV"))
    tab_to(page, page.page.get_by_label("Label contains"))
    keys.type("no such class")
    page.find(".hint", "0 of 61 answers").wait_for()
    for _ in "no such class":
        keys.press("Backspace")
    tab_to(page, page.page.get_by_label("Rows with a problem"))
    for shown in ("1 of 61 answers", "61 of 61 answers"):
        keys.press("Space")
        page.find(".hint", shown).wait_for()
    rows = role("region", name="Answers")
    tab_to(page, rows)
    keys.press("PageDown")
    until(lambda: bool(rows.evaluate("(node) => node.scrollTop > 0")), "the rows scroll")
    header = role("columnheader", name="Probability")
    tab_to(page, header.get_by_role("button"))
    for direction in ("ascending", "descending"):
        keys.press("Enter")
        assert header.get_attribute("aria-sort") == direction

    go_to(page, "Watch")
    pause = role("button", name="Pause")
    tab_to(page, pause)
    keys.press("Enter")
    assert pause.get_attribute("aria-pressed") == "true"
    tab_to(page, role("button", name="Promote, load, unload"))
    keys.press("Enter")
    page.find("[role=status]", "admin calls need admin keys").wait_for()

    go_to(page, "About")
    report = page.find("summary", "The full report")
    tab_to(page, report)
    keys.press("Enter")
    frame = page.page.frame_locator("iframe.report")
    frame.get_by_role("link", name="Up").wait_for()
    tab_to(page, page.find("iframe.report"))
    until(lambda: is_focused(frame.get_by_role("link", name="Up")), "the report's link has the focus")
    tab_to(page, role("region", name="class, rows"))


def test_the_focus_stays_where_content_is_replaced(operated: Console) -> None:
    """Each button here is gone once it has been pressed."""
    page = operated
    page.page.on("dialog", lambda dialog: dialog.accept())
    page.page.get_by_role("button", name="Promote version 1 of skin-lesions").press("Enter")
    page.page.get_by_role("button", name="Promote version 2 of skin-lesions").wait_for()
    check_focus(page)
    assert page.page.evaluate("document.activeElement.closest('section > div') !== null")
    page.page.route("**/predict/batch", lambda route: None)
    page.follow("Many")
    rows = {"name": "rows.csv", "mimeType": "text/csv", "buffer": b"age\n" + b"4\n" * 9}
    page.page.get_by_label("Choose or drop a table").set_input_files(rows)  # type: ignore[arg-type]
    page.page.get_by_role("button", name="Classify").press("Enter")
    cancel = page.page.get_by_role("button", name="Cancel")
    until(lambda: is_focused(cancel), "what ends the run has the focus")
    page.page.keyboard.press("Enter")
    saves = page.page.get_by_role("button", name="Download as CSV")
    saves.wait_for()
    assert is_focused(saves)
    page.page.unroute_all(behavior="ignoreErrors")


def test_all_classes_have_the_focus_once_they_are_shown(console: Open) -> None:
    page = console().show()
    code = """
      const answer = { label: "c1", probabilities: a };
      document.querySelector("main").replaceChildren(m.showProbabilities(answer));
    """
    page.evaluate("answers.js", code, {f"c{at}": 1 / 30 for at in range(30)})
    page.page.get_by_role("button", name="Show all 30 classes").press("Enter")
    assert is_focused(page.page.get_by_role("group", name="All classes"))


def test_a_page_that_had_failed_has_the_focus_in_its_view(console: Open) -> None:
    page = console()
    page.page.route("**/console/model.json", lambda route: route.fulfill(status=503, json={"detail": "soon"}))
    page.page.goto(page.url)
    page.page.get_by_role("button", name="Try again").press("Enter")
    page.page.get_by_role("alert").get_by_text("soon").wait_for()
    until(lambda: is_focused(page.page.get_by_role("button", name="Try again")), "the button has the focus")
    page.page.unroute_all()
    page.page.keyboard.press("Enter")
    heading = page.find("main h2")
    heading.wait_for()
    until(lambda: is_focused(heading), "the heading has the focus")
    check_focus(page)


def test_each_live_text_is_said_once(console: Open) -> None:
    page = console().show()
    page.page.evaluate(LISTEN)

    def listen(act: Callable[[], None], wanted: str) -> list[str]:
        """Return what is said from an action until this has been said and all requests are answered."""
        page.page.evaluate("() => void (window.said = [])")
        act()
        page.page.wait_for_function("(text) => window.said.some((each) => each.includes(text))", arg=wanted)
        page.page.wait_for_load_state("networkidle")
        page.page.wait_for_timeout(600)  # longer than the pause before a curve is asked for
        said: list[str] = page.page.evaluate("window.said")
        return said

    told = listen(page.fill_in, "percent")
    label = page.answers()[0]["label"]
    assert told[0] == "Plausible values: image, clinical, notes"
    assert [text.partition(",")[0] for text in told[1:]] == [label]
    told = listen(lambda: page.page.get_by_label("age", exact=True).fill("old"), "see clinical")
    assert told == ["No answer: see clinical."]
    # It is said a little after it is shown, so it must be heard before the next action.
    assert len(listen(lambda: page.page.get_by_label("age", exact=True).fill("40"), "percent")) == 1
    assert len(listen(lambda: page.follow("Switch"), "%")) == 1
    assert len(listen(lambda: page.page.get_by_role("switch", name="image").press("Space"), "%")) == 1
    assert len(listen(lambda: page.follow("Damage"), "The answer holds")) == 1
    slider = page.page.get_by_role("slider", name="Strength of the damage to image")
    assert len(listen(lambda: slider.press("ArrowRight"), "The answer")) == 1


def test_nothing_moves_in_any_view_for_those_who_want_that(console: Open) -> None:
    page = console(reduced_motion="reduce").show()
    page.fill_in()
    page.page.route("**/predict/batch", lambda route: None)
    rows = {"name": "rows.csv", "mimeType": "text/csv", "buffer": b"age\n4\n"}
    moving = """() => [...document.querySelectorAll("*")].filter((node) => {
      const style = getComputedStyle(node);
      return style.transitionDuration !== "0s" || style.animationName !== "none" || node.matches("progress:indeterminate");
    }).map((node) => node.outerHTML.slice(0, 80))"""  # noqa: E501
    for title in ("Switch", "Damage", "Many", "Watch", "About"):
        page.follow(title)
        if title == "Many":
            page.page.get_by_label("Choose or drop a table").set_input_files(rows)  # type: ignore[arg-type]
            page.page.get_by_role("button", name="Classify").click()
            page.find("progress").wait_for()
        assert page.page.evaluate(moving) == []
    page.page.unroute_all(behavior="ignoreErrors")
