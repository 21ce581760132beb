"""Watch: the page shows what /metrics says, in the service's words, and what an operator does with models."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.browser import Console, find_violations
from tests.support.keys import KEY
from tests.support.process import Service, until

pytest.importorskip("playwright")
pytestmark = [pytest.mark.e2e, pytest.mark.needs("chromium")]

Open = Callable[..., Console]
Start = Callable[..., Service]
# `start_console` stands before `console`: a page that polls is closed before its service.
HOSTILE = "<img src=x onerror=alert(1)>"


def wait_for_scrapes(console: Console, count: int) -> None:
    """Wait until the page shows at least so many answers of /metrics."""
    console.find(".row .hint", "As of").wait_for()

    def has_scraped() -> bool:
        console.page.wait_for_timeout(20)
        return len(console.bodies("/metrics")) > count

    until(has_scraped, f"{count} scrapes are shown")


def predict(console: Console, url: str, n: int, **inputs: Any) -> None:
    body = {"items": [{"inputs": inputs}] * n}
    assert console.page.request.post(f"{url}/predict/batch", data=body).ok


def read_row(console: Console, metric: str) -> list[str]:
    """Return the figures of the modalities of one metric."""
    row = console.find(".figures tbody tr").filter(has=console.page.get_by_text(metric, exact=True))
    return [cell.strip() for cell in row.locator("td").all_inner_texts()]


def test_figures_and_meanings_are_those_of_the_service(
    start_console: Start, console: Open, tiny_bundle: Path
) -> None:
    service = start_console(tiny_bundle)
    page = console(service.url).show("watch")
    wait_for_scrapes(page, 1)
    assert read_row(page, "tailfuse_modality_present_total") == ["–", "–", "–"]
    predict(page, service.url, 30, clinical={"age": 30})
    predict(page, service.url, 10, clinical={"age": 30}, notes="a spot")
    page.find(".figures td", "25.0 %").wait_for()
    assert read_row(page, "tailfuse_modality_present_total") == ["0.0 %", "100.0 %", "25.0 %"]
    text = page.page.request.get(f"{service.url}/metrics").text()
    helps = dict(
        line.removeprefix("# HELP ").split(" ", 1) for line in text.splitlines() if line.startswith("# HELP ")
    )
    shown = page.find("main").inner_text()
    for metric in page.find("main code").all_inner_texts():
        assert helps[metric] in shown
    chart = page.find(".chart", "tailfuse_requests_total").locator("path").first
    until(lambda: "L" in (chart.get_attribute("d") or ""), "the line has two points")
    [latency] = [each for each in page.find(".chart").all_inner_texts() if "tailfuse_request_seconds" in each]
    assert "p50" in latency
    counts = [int(row.split("\t")[-1]) for row in page.find(".grid tbody tr:not(.spacer)").all_inner_texts()]
    assert sum(counts) == 40


def test_a_paused_page_asks_nothing_and_goes_on(console: Open) -> None:
    page = console().show("watch")
    wait_for_scrapes(page, 1)
    page.page.get_by_role("button", name="Pause").press("Enter")
    page.find(".row .hint", "Paused").wait_for()
    page.page.wait_for_load_state("networkidle")
    before = len(page.bodies("/metrics"))
    page.page.wait_for_timeout(2500)  # longer than a pause between two scrapes
    assert len(page.bodies("/metrics")) <= before + 1
    page.page.get_by_role("button", name="Pause").press("Enter")
    wait_for_scrapes(page, before + 1)


def test_leaving_the_view_ends_the_scrapes(console: Open) -> None:
    page = console().show("watch")
    wait_for_scrapes(page, 1)
    page.follow("About")
    before = len(page.bodies("/metrics"))
    page.page.wait_for_timeout(2500)
    assert len(page.bodies("/metrics")) <= before + 1


def test_metrics_that_are_elsewhere_are_said_to_be(console: Open) -> None:
    page = console()
    page.page.route(
        "**/metrics", lambda route: route.fulfill(status=404, json={"detail": "no route /metrics"})
    )
    page.show("watch")
    page.find(".hint", "--metrics-port").wait_for()


def test_a_service_that_is_gone_is_said_to_be(console: Open) -> None:
    page = console()
    page.page.route(
        "**/metrics", lambda route: route.fulfill(status=503, json={"detail": "the service is stopping"})
    )
    page.show("watch")
    page.find(".hint", "the service is stopping").wait_for()
    page.page.unroute_all()
    page.find(".hint", "As of").wait_for()


def test_labels_stay_text_and_a_thousand_classes_are_few_rows(console: Open) -> None:
    page = console()
    labels = 'model="skin-lesions",version="3"'
    text = "\n".join(
        f'tailfuse_class_training_share{{label="{HOSTILE}{at}",{labels},shot="few"}} {at / 1000}'
        for at in range(1000)
    )
    page.page.route(
        "**/metrics", lambda route: route.fulfill(status=200, body=text, content_type="text/plain")
    )
    page.show("watch")
    page.find(".grid td", f"{HOSTILE}0").first.wait_for()
    assert page.find("img").count() == 0
    assert page.find(".grid tbody tr").count() < 60
    page.page.get_by_role("columnheader", name="In training").get_by_role("button").click()
    page.find(".grid td", f"{HOSTILE}999").wait_for()


def test_an_operator_promotes_unloads_and_loads(operated: Console) -> None:
    page = operated
    page.page.on("dialog", lambda dialog: dialog.accept())
    page.page.get_by_role("button", name="Promote version 1 of skin-lesions").click()
    page.page.get_by_role("button", name="Promote version 2 of skin-lesions").wait_for()
    page.page.get_by_role("button", name="Unload version 1 of skin-lesions").click()
    page.find("[role=status]", "the stable one").first.wait_for()
    page.page.get_by_role("button", name="Promote version 2 of skin-lesions").click()
    page.page.get_by_role("button", name="Promote version 1 of skin-lesions").wait_for()
    page.page.get_by_role("button", name="Unload version 1 of skin-lesions").click()
    page.page.get_by_role("button", name="Load v1").click()
    page.page.get_by_role("button", name="Promote version 1 of skin-lesions").wait_for()
    assert KEY not in page.page.content()
    assert all(KEY not in request.url for request in page.requests)


def test_a_refused_question_changes_nothing(operated: Console) -> None:
    operated.page.on("dialog", lambda dialog: dialog.dismiss())
    operated.page.get_by_role("button", name="Unload version 1 of skin-lesions").click()
    assert operated.bodies("/admin/unload") == []


def test_without_admin_keys_the_service_says_so(console: Open) -> None:
    page = console().show("watch")
    page.page.get_by_role("button", name="Promote, load, unload").click()
    page.find("[role=status]", "admin calls need admin keys").wait_for()
    assert page.page.get_by_role("dialog").count() == 0
    assert page.page.get_by_role("button", name="Unload").count() == 1  # the one that asks for it


def test_a_shadow_s_disagreements_are_shown(
    start_console: Start, console: Open, folder: Path, next_bundle: Path, tmp_path: Path
) -> None:
    shutil.rmtree(folder / "v2")
    shutil.copytree(next_bundle, folder / "v4")
    roles = tmp_path / "roles.json"
    assigned = {"stable": "1", "shadow": {"version": "4", "share": 1.0}}
    roles.write_text(json.dumps({"skin-lesions": assigned}))
    service = start_console(folder, "--roles", str(roles))
    page = console(service.url).show("watch")
    predict(page, service.url, 20, clinical={"age": 30})
    page.find("h4", "Shadow skin-lesions 4").wait_for()
    page.find("strong", "20").wait_for()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(console: Open, scheme: str) -> None:
    page = console(color_scheme=scheme).show("watch")
    wait_for_scrapes(page, 2)
    page.find("td", "stable").wait_for()
    assert find_violations(page.page) == []


def test_it_fits_a_narrow_screen(console: Open) -> None:
    page = console(viewport={"width": 320, "height": 640}).show("watch")
    wait_for_scrapes(page, 1)
    assert page.page.evaluate("document.documentElement.scrollWidth") <= 320
