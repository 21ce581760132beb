"""About shows a report in a frame in which nothing runs."""

from collections.abc import Callable
from pathlib import Path

import pytest
from tailfuse_service.bundle.files import REPORT

from tests.support.browser import Console, find_violations
from tests.support.bundles import add_file, write_tiny_bundle
from tests.support.keys import KEY
from tests.support.process import Service

pytest.importorskip("playwright")
pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.needs("chromium")]

Open = Callable[..., Console]
Start = Callable[..., Service]
MARK = "for (const w of [window, parent, top]) try { w.hacked = 1; w.localStorage.x = 1 } catch {}"
HOSTILE = f"""<!doctype html><html lang="en" onload="{MARK}"><head>
<meta http-equiv="refresh" content="0; url=javascript:top.hacked=1"><base href="https://evil.example/">
<script>{MARK}</script><script src="/console/x/app.js"></script>
<link rel="stylesheet" href="https://evil.example/x.css"><style>p {{ color: rgb(1, 2, 3) }}</style></head>
<body onload="{MARK}" onfocus="{MARK}"><p id="there">Skin lesions</p>
<img src="x" onerror="{MARK}"><svg onload="{MARK}"><script>{MARK}</script></svg>
<iframe srcdoc="<script>top.hacked=1</script>"></iframe><iframe src="javascript:top.hacked=1"></iframe>
<object data="/console/x/app.js"></object><embed src="/docs">
<form action="/admin/unload" method="post"><button>Send</button></form>
<a href="javascript:top.hacked=1">Script</a> <a href="/docs" target="_top">Top</a> <a href="#there">Here</a>
<details open ontoggle="{MARK}"><summary>More</summary></details>
<video src="x" onerror="{MARK}"></video></body></html>"""


def share(start_console: Start, tmp_path: Path, html: str, *flags: str) -> Service:
    folder = add_file(write_tiny_bundle(tmp_path / "bundle"), REPORT, html.encode())
    return start_console(folder, "--share-report", *flags)


def drop_refused(page: Console) -> None:
    """Forget what the browser has reported as refused, and the requests that its policies kept unsent."""
    page.errors.clear()
    page.requests[:] = [each for each in page.requests if each.failure != "csp"]


def test_a_report_that_is_not_shared_is_not_asked_for(console: Open) -> None:
    page = console().show("about")
    page.find("main .hint", "start the service with --share-report").wait_for()
    assert page.find("main details").count() == 0
    assert not any("report.html" in each.url for each in page.requests)


@pytest.mark.parametrize("with_keys", [False, True])
def test_a_shared_report_is_shown_with_its_style(
    start_console: Start, console: Open, tmp_path: Path, with_keys: bool
) -> None:
    from tests.support.reports import write_large_report  # not on the base install

    html = write_large_report(tmp_path / "report.html", n_classes=3, n_modalities=2).read_text()
    (tmp_path / "keys").write_text(f"tests: {KEY}\n")
    flags = ("--api-keys", str(tmp_path / "keys")) if with_keys else ()
    page = console(share(start_console, tmp_path, html, *flags).url)
    page.page.goto(f"{page.url}/#about")
    if with_keys:
        page.page.get_by_label("Key of this service").fill(KEY)
        page.page.keyboard.press("Enter")
    report = page.show_report()
    report.get_by_role("heading", name="By class", exact=True).wait_for()
    assert report.locator("svg").count() > 0
    bar = report.locator(".bar span").first
    assert bar.evaluate("(node) => node.getBoundingClientRect().width") > 0  # styles in attributes count
    assert not any(KEY in each.url for each in page.requests)
    assert find_violations(page.page) == []


def test_a_hostile_report_runs_nothing(start_console: Start, console: Open, tmp_path: Path) -> None:
    service = share(start_console, tmp_path, HOSTILE)
    page = console(service.url).show("about")
    report = page.show_report()
    report.get_by_text("Skin lesions").wait_for()
    assert report.locator("p").evaluate("(node) => getComputedStyle(node).color") == "rgb(1, 2, 3)"
    for link in ("Script", "Top"):
        report.get_by_role("link", name=link).click(no_wait_after=True)
    report.get_by_role("button", name="Send").click(no_wait_after=True)
    report.get_by_role("link", name="Here").click(no_wait_after=True)
    page.page.wait_for_timeout(500)
    assert page.page.url == f"{service.url}/#about"
    found = page.page.evaluate("() => [window.hacked ?? null, localStorage.length]")
    assert found == [None, 0]
    assert [each for each in page.requests if each.method == "POST"] == []
    drop_refused(page)


def test_a_hostile_report_runs_nothing_at_its_own_address(
    start_console: Start, console: Open, tmp_path: Path
) -> None:
    page = console(share(start_console, tmp_path, HOSTILE).url)
    page.page.goto(f"{page.url}/console/report.html")
    page.page.get_by_text("Skin lesions").wait_for()
    page.page.get_by_role("link", name="Script").click(no_wait_after=True)
    page.page.get_by_role("button", name="Send").click(no_wait_after=True)
    page.page.wait_for_timeout(500)
    assert page.page.evaluate("() => [window.hacked ?? null, window.origin]") == [None, "null"]
    assert [each for each in page.requests if each.method == "POST"] == []
    drop_refused(page)


def test_a_bundle_without_a_report_is_said_in_the_service_s_words(
    start_console: Start, console: Open, tiny_bundle: Path
) -> None:
    page = console(start_console(tiny_bundle, "--share-report").url).show("about")
    page.find("summary", "The full report").click()
    page.find("main details [role=alert]", "the bundle has no report.html").wait_for()
