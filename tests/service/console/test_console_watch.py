"""Watch: the page shows what /metrics says, in the service's words, and what an operator does with models."""

import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.browser import Console, find_violations
from tests.support.keys import KEY
from tests.support.process import Service, until

if TYPE_CHECKING:
    from playwright.sync_api import Dialog

pytest.importorskip("playwright")
pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.needs("chromium")]

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
    helps = read_helps(page)
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
    asked: list[str] = []

    def refuse(dialog: "Dialog") -> None:
        asked.append(dialog.message)
        dialog.dismiss()

    # A bundle that is not loaded, so that there is one to load.
    unloaded = {"name": "skin-lesions", "version": "1"}
    headers = {"authorization": f"Bearer {KEY}"}
    promoted = operated.page.request.post(
        f"{operated.url}/admin/models/skin-lesions/promote", data={"version": "2"}, headers=headers
    )
    assert promoted.ok
    assert operated.page.request.post(f"{operated.url}/admin/unload", data=unloaded, headers=headers).ok
    operated.page.on("dialog", refuse)
    for name in ("Load v1", "Unload version 2 of skin-lesions"):
        operated.page.get_by_role("button", name=name).click()
    assert asked == ["Load v1?", "Unload version 2 of skin-lesions?"]
    assert operated.bodies("/admin/unload") == operated.bodies("/admin/load") == []


def test_without_admin_keys_the_service_says_so(console: Open) -> None:
    page = console().show("watch")
    page.page.get_by_role("button", name="Promote, load, unload").click()
    page.find("[role=status]", "admin calls need admin keys").wait_for()
    assert page.page.get_by_role("dialog").count() == 0
    assert page.page.get_by_role("button", name="Unload").count() == 1  # the one that asks for it


def read_helps(console: Console) -> dict[str, str]:
    """Return what /metrics says about each metric."""
    lines = console.page.request.get(f"{console.url}/metrics").text().splitlines()
    stated = (line.removeprefix("# HELP ") for line in lines if line.startswith("# HELP "))
    return {name: said for name, _, said in (line.partition(" ") for line in stated)}


def read_versions(console: Console) -> dict[str, list[str]]:
    """Return the figures of the versions side by side, by metric, and their heads under an empty name."""
    rows = console.page.get_by_role("region", name="Versions and their roles").locator("tr")
    found = {}
    for row in rows.all():
        metric = row.locator("code")
        name = metric.inner_text() if metric.count() else ""
        found[name] = [each.strip() for each in row.locator(".number").all_inner_texts()]
    return found


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
    page.find("h4", "Shadow skin-lesions 4").wait_for()
    items = [{"inputs": {"clinical": {"age": age}}} for age in range(0, 100, 5)]
    stable, shadow = (
        [each["label"] for each in page.page.request.post(
            f"{service.url}/models/skin-lesions/versions/{version}/predict/batch", data={"items": items}
        ).json()["results"]]
        for version in ("1", "4")
    )  # fmt: skip
    known = page.page.request.get(f"{service.url}/models/skin-lesions/versions/4").json()["classes"]
    names = {each["name"] for each in known}
    pairs = Counter(
        (old if old in names else "other", new) for old, new in zip(stable, shadow, strict=True) if old != new
    )
    assert pairs
    page.find("strong", f"disagree {pairs.total()}").wait_for()
    listed = page.find("h4 ~ ul li", "→").all_inner_texts()
    assert sorted(listed) == sorted(f"{old} → {new}: {n}" for (old, new), n in pairs.items())
    figures = read_versions(page)
    assert figures[""] == ["1 (stable)", "4 (shadow)"]
    assert figures["tailfuse_samples_total"][0] == "20 (100.0 %)"
    helps, shown = read_helps(page), page.find("main").inner_text()
    for metric in ("tailfuse_shadow_samples_total", "tailfuse_shadow_disagreements_total", *figures):
        assert not metric or helps[metric] in shown


@pytest.fixture
def start_with_canary(
    start_console: Start, folder: Path, admin_keys: Path, tmp_path: Path
) -> Callable[[str, float], Service]:
    """`start_with_canary(version, share)` starts a service whose stable version is 1."""

    def start(version: str, share: float) -> Service:
        roles = tmp_path / "roles.json"
        assigned = {"stable": "1", "canary": {"version": version, "share": share}}
        roles.write_text(json.dumps({"skin-lesions": assigned}))
        return start_console(folder, "--roles", str(roles), "--admin-keys", str(admin_keys))

    return start


def test_a_canary_s_share_and_figures_stand_beside_those_of_the_stable_version(
    start_with_canary: Callable[[str, float], Service], console: Open
) -> None:
    service = start_with_canary("2", 0.25)
    page = console(service.url).show("watch")
    page.find("td", "canary").wait_for()
    for version, n in (("1", 30), ("2", 10)):
        body = {"items": [{"inputs": {"clinical": {"age": 30}, "notes": "a spot"}}] * n}
        path = f"/models/skin-lesions/versions/{version}/predict/batch"
        assert page.page.request.post(f"{service.url}{path}", data=body).ok
    page.page.get_by_role("cell", name="10 (25.0 %)").wait_for()
    figures = read_versions(page)
    assert figures[""] == ["1 (stable)", "2 (canary)"]
    assert figures["tailfuse_samples_total"] == ["30 (75.0 %)", "10 (25.0 %)"]
    lines = page.page.request.get(f"{service.url}/metrics").text().splitlines()
    for version, shown in zip(("1", "2"), figures["tailfuse_entropy"], strict=True):
        total, count = (
            next(float(line.split()[-1]) for line in lines
                 if line.startswith(f"tailfuse_entropy_{part}{{") and f'"{version}"' in line)
            for part in ("sum", "count")
        )  # fmt: skip
        assert shown == f"{100 * total / count:.1f} %"
    page.use_admin_key()
    page.find("td", "canary, share 25.0 %").wait_for()


def test_a_version_that_is_waited_for_is_named(
    start_with_canary: Callable[[str, float], Service], console: Open
) -> None:
    page = console(start_with_canary("5", 0.1).url).show("watch")
    page.use_admin_key()
    page.find(
        "p", "waiting: version 5 of skin-lesions is the canary, share 10.0 %, and is not loaded"
    ).wait_for()


def test_the_service_s_processes_are_counted(start_console: Start, console: Open, tiny_bundle: Path) -> None:
    page = console(start_console(tiny_bundle, "--workers", "2").url).show("watch")
    page.find("li", "tailfuse_workers 2").wait_for()  # the service has started when the first is ready
    helps = read_helps(page)
    states = page.page.get_by_role("list", name="State of the service").locator("li").all_inner_texts()
    expected = {"tailfuse_ready": "1", "tailfuse_workers": "2", "tailfuse_worker_restarts_total": "0"}
    assert states == [f"{helps[metric]} {metric} {value}" for metric, value in expected.items()]


def test_drift_and_few_shot_classes_are_shown(console: Open) -> None:
    """The service's own page of metrics, with values that would take thousands of rows."""
    page = console()
    labels = 'model="skin-lesions",version="3"'
    text = page.page.request.get(f"{page.url}/metrics").text()
    drifts = "".join(
        f'tailfuse_input_drift{{{labels},modality="clinical",input="{name}"}} {value}\n'
        for name, value in (("age", 0.125), ("pulse", 0.5), ("site", 0.25))
    )
    text += f'{drifts}tailfuse_weight_drift{{{labels},modality="notes"}} 0.0625\n'
    page.page.route(
        "**/metrics", lambda route: route.fulfill(status=200, body=text, content_type="text/plain")
    )
    page.show("watch")
    page.find("li", "clinical, pulse: 0.500").wait_for()
    shown = page.find("li", "clinical, ").all_inner_texts()
    assert shown == ["clinical, pulse: 0.500", "clinical, site: 0.250", "clinical, age: 0.125"]
    assert read_row(page, "tailfuse_weight_drift") == ["–", "–", "0.063"]
    classes = [row.split("\t") for row in page.find(".grid tbody tr:not(.spacer)").all_inner_texts()]
    assert {(label, shot) for label, shot, *_ in classes} == {
        ("nv", "many"), ("mel", "medium"), ("bkl", "few"),
    }  # fmt: skip
    assert page.find(".grid td strong").all_inner_texts() == ["few"]
    assert classes[0][:3] == ["bkl", "few", "2.3 %"]


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
