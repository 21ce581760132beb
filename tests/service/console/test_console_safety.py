"""Keys stay in memory, names stay text, and everybody can use the console."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tailfuse_service.bundle.manifest import ClassInfo
from tailfuse_service.modalities import TabularModality
from tailfuse_service.modalities.tabular import BooleanColumn

from tests.support.browser import Console, find_violations
from tests.support.bundles import MODALITIES, write_tiny_bundle
from tests.support.keys import KEY
from tests.support.process import Service

pytest.importorskip("playwright")
pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.needs("chromium")]

Open = Callable[..., Console]
MARKUP = '<img src=x onerror="window.hacked=1">'
CLASSES = (MARKUP, "__proto__", "'\"><script>window.hacked=1</script>\u202e&amp;")
VIEWS = ("Try", "Switch", "Damage")


@pytest.fixture
def hostile_bundle(tmp_path: Path) -> Path:
    """A bundle whose classes, label and columns are markup, or are called like members of every object."""
    clinical = MODALITIES["clinical"]
    assert isinstance(clinical, TabularModality)
    age, pulse, _, site = clinical.columns
    columns = (
        age.model_copy(update={"name": MARKUP}), pulse.model_copy(update={"name": "__proto__"}),
        BooleanColumn(name="constructor"), site.model_copy(update={"categories": (MARKUP, "toString")}),
    )  # fmt: skip
    classes = tuple(ClassInfo(name=name, train_count=9, shot="few") for name in CLASSES)
    modalities = {**MODALITIES, "clinical": clinical.model_copy(update={"columns": columns})}
    return write_tiny_bundle(
        tmp_path / "hostile", name=MARKUP, label=MARKUP, classes=classes, modalities=modalities,
        examples=({"clinical": {"__proto__": 70.5, "constructor": True, MARKUP: 40}, "notes": MARKUP},),
    )  # fmt: skip


def test_names_of_a_bundle_are_text(
    console: Open, start_console: Callable[..., Service], hostile_bundle: Path
) -> None:
    page = console(start_console(hostile_bundle).url).show()
    assert MARKUP in page.find("main h2").inner_text()
    page.page.get_by_role("button", name="Row 1").click()
    page.page.get_by_text("What each modality adds").wait_for()
    rows = page.find("table", "Probabilities").locator("tbody th").all_inner_texts()
    assert sorted(rows) == sorted(CLASSES)
    assert page.page.get_by_label("__proto__", exact=True).input_value() == "70.5"
    sent = page.bodies()[-1]["inputs"]["clinical"]
    assert sent == {"__proto__": 70.5, "constructor": True, MARKUP: 40}
    page.page.get_by_label("__proto__", exact=True).fill("71")
    page.page.wait_for_function("() => performance.getEntriesByName(location.origin + '/predict').length > 0")
    page.page.get_by_label("notes: title").fill(MARKUP)
    for title in VIEWS:
        page.follow(title)
        page.page.wait_for_timeout(0)
        assert page.find("main img, main script, main iframe").count() == 0
    assert page.page.evaluate("() => window.hacked") is None
    assert page.bodies()[-1]["inputs"]["clinical"]["__proto__"] == 71


@pytest.mark.parametrize(
    ("name", "value"),
    [("onclick", "x()"), ("style", "x"), ("srcdoc", "x"), ("href", "javascript:x()"),
     ("href", " javascript:x()"), ("href", "//evil.example"), ("src", "https://evil.example/x.png"),
     ("href", "data:text/html,x"),
     ("formaction", "vbscript:x"), ("href", "JaVaScRiPt:x()"), ("href", "/\\evil.example")],
)  # fmt: skip
def test_no_element_gets_an_attribute_that_runs_or_leads_elsewhere(
    console: Open, name: str, value: str
) -> None:
    page = console().show()
    code = "try { m.element('a', a); return 'made'; } catch (e) { return e.name; }"
    assert page.evaluate("element.js", code, {name: value}) == "TypeError"


def test_a_key_is_asked_for_and_stays_in_memory(
    console: Open, start_console: Callable[..., Service], tiny_bundle: Path, tmp_path: Path
) -> None:
    (tmp_path / "keys").write_text(f"tests: {KEY}\n")
    page = console(start_console(tiny_bundle, "--api-keys", str(tmp_path / "keys")).url)
    page.page.goto(page.url)
    dialog = page.page.get_by_role("dialog", name="A key is needed")
    dialog.get_by_text("missing key").wait_for()
    dialog.get_by_label("Key of this service").fill("a-wrong-key-0123456789")
    page.page.keyboard.press("Enter")
    dialog.get_by_text("unknown key").wait_for()
    assert dialog.get_by_label("Key of this service").input_value() == ""
    dialog.get_by_label("Key of this service").fill(KEY)
    page.page.keyboard.press("Enter")
    page.page.wait_for_selector("main h2")
    page.fill_in()
    stored = page.page.evaluate(
        "() => JSON.stringify([localStorage, sessionStorage, document.cookie, history.state, window.name])"
    )
    assert json.loads(stored) == [{}, {}, "", None, ""]
    assert KEY not in page.page.content()
    assert page.context.cookies() == []
    assert not any(KEY in each.url for each in page.requests)
    page.follow("Switch")
    assert "Bearer YOUR_KEY" in page.find("pre").first.inner_text()
    page.page.reload()
    dialog.wait_for()
    page.page.keyboard.press("Escape")
    page.page.get_by_role("alert").get_by_text("missing key").wait_for()
    page.page.get_by_role("button", name="Try again").click()
    dialog.wait_for()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("view", VIEWS)
def test_axe_finds_nothing(console: Open, scheme: Any, view: str) -> None:
    page = console(color_scheme=scheme, reduced_motion="reduce").show()
    assert find_violations(page.page) == []
    page.fill_in()
    page.page.get_by_label("age", exact=True).fill("old")
    page.find(".cells .problem", "old").wait_for()
    if view == "Try":
        assert find_violations(page.page) == []
        return
    page.page.get_by_label("age", exact=True).fill("40")
    page.page.get_by_text("What each modality adds").wait_for()
    page.follow(view)
    page.find("main table").first.wait_for()
    for summary in page.find("main summary").all():
        summary.click()
    assert find_violations(page.page) == []


def test_the_dialog_of_the_key_passes_axe_and_gives_the_focus_back(console: Open) -> None:
    page = console().show()
    button = page.page.get_by_role("button", name="Key…")
    button.click()
    page.page.get_by_role("dialog").wait_for()
    assert find_violations(page.page) == []
    page.page.keyboard.press("Escape")
    assert button.evaluate("(node) => node === document.activeElement")


@pytest.mark.parametrize("width", [320, 768])
def test_nothing_is_wider_than_the_screen(console: Open, width: int) -> None:
    page = console(viewport={"width": width, "height": 640}).show()
    page.fill_in()
    for title in VIEWS:
        page.follow(title)
        page.find("main").locator("table, .stack").first.wait_for()
        wide = page.page.evaluate("() => document.documentElement.scrollWidth")
        assert wide <= width, title


def test_the_keyboard_alone_goes_through_the_views(console: Open) -> None:
    page = console().show()
    names = []
    for _ in range(5):
        page.page.keyboard.press("Tab")
        names.append(page.page.evaluate("() => document.activeElement.textContent"))
        if names[-1] == "Switch":
            break
    page.page.keyboard.press("Enter")
    page.page.wait_for_selector('main section[aria-label="Switch"]')
    assert page.page.evaluate("() => document.activeElement.textContent") == "Switch modalities off"
    assert page.find("nav a[aria-current=page]").inner_text() == "Switch"
    assert page.page.title() == "Switch · skin-lesions · tailfuse"


def test_nothing_moves_for_those_who_want_that(console: Open) -> None:
    page = console(reduced_motion="reduce").show()
    page.fill_in()
    found = page.find(".stack > span").first.evaluate("(node) => getComputedStyle(node).transitionDuration")
    assert found == "0s"


def test_a_service_that_is_gone_is_said_in_words(
    console: Open, start_console: Callable[..., Service], tiny_bundle: Path
) -> None:
    page = console().show()
    page.context.set_offline(True)
    page.page.get_by_role("button", name="Plausible values").click()
    page.page.get_by_text("the service does not answer").wait_for()
    page.errors.clear()  # the browser reports each failed request
