"""A model of 40 modalities and 1,000 classes: every view stays usable, and no wider than its screen."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.support.browser import Console

pytest.importorskip("playwright")
pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.needs("chromium")]

Open = Callable[..., Console]
NAMES = [f"m{at}" for at in range(40)]
LABELS = [str(at) for at in range(1000)]
SHARES = {label: (at + 1) / 500_500 for at, label in reversed(list(enumerate(LABELS)))}
VERSION = 'model="skin-lesions",version="3"'  # the service's own, which names its metrics


def make_answer(body: Any) -> dict[str, Any]:
    present = body["inputs"]
    modalities = {
        name: {"present": name in present, "weight": (name in present) / len(present), "confidence": 0.5}
        for name in NAMES
    }
    return {
        "request_id": "1", "model": {"name": "many", "version": "1"}, "label": "999",
        "probability": SHARES["999"], "probabilities": SHARES, "modalities": modalities,
    }  # fmt: skip


def make_metrics() -> str:
    """Return a page of metrics with each of the modalities and classes."""
    lines = [f'tailfuse_samples_total{{{VERSION},subset="all"}} 10']
    for name in NAMES:
        lines.append(f'tailfuse_reference_weight{{{VERSION},modality="{name}"}} 0.025')
        lines.append(f'tailfuse_input_drift{{{VERSION},modality="{name}",input="words"}} 0.{name[1:]}')
    lines += [
        f'tailfuse_class_training_share{{{VERSION},label="{label}",shot="few"}} {SHARES[label]}'
        for label in LABELS
    ]
    return "\n".join(lines) + "\n"


@pytest.fixture(params=[320, 1200])
def large(console: Open, request: pytest.FixtureRequest) -> Console:
    """A page of such a model, which is answered for in the service's place."""
    page = console(viewport={"width": request.param, "height": 800})
    described = page.context.request.get(f"{page.url}/console/model.json").json()
    notes = {**described["modalities"]["notes"], "columns": ["review"]}
    metrics = described["metrics"].popitem()[1]
    subsets = ["+".join(NAMES), *NAMES, *("+".join(each for each in NAMES if each != name) for name in NAMES)]
    described |= {
        "modalities": {name: {**notes, "columns": [name]} for name in NAMES},
        "examples": [dict.fromkeys(NAMES, "a spot")],
        "classes": [{"name": label, "train_count": 1, "shot": "few"} for label in LABELS],
        "metrics": dict.fromkeys(subsets, metrics),
    }
    page.answer("/console/model.json", lambda _: described)
    page.answer("/predict", make_answer)
    page.answer("/predict/batch", lambda body: {"results": [make_answer(item) for item in body["items"]]})
    page.page.route(
        "**/metrics", lambda route: route.fulfill(status=200, body=make_metrics(), content_type="text/plain")
    )
    page.show()
    page.page.get_by_role("button", name="Plausible values").click()
    page.find("table", "Probabilities").wait_for()
    return page


def assert_fits(console: Console) -> None:
    width = console.page.evaluate("document.documentElement.scrollWidth")
    assert width <= console.page.evaluate("window.innerWidth")


def test_try_and_switch_bound_what_they_show(large: Console) -> None:
    """Ten bars, six open fields, bounded subsets. The classes are called by numbers."""
    assert large.find("details.field[open]").count() == 6
    rows = large.find("table", "Probabilities").locator("tbody tr")
    assert [row.split("\t")[0] for row in rows.all_inner_texts()] == LABELS[:-11:-1]
    large.page.get_by_role("button", name="Show all 1,000 classes").click()
    assert rows.count() == 1000
    assert_fits(large)
    large.follow("Switch")
    subsets = large.find("table", "Answers to subsets").locator("tbody tr")
    subsets.first.wait_for()
    assert subsets.count() == 81  # all, without each, each alone
    large.page.get_by_label("m3", exact=True).uncheck()
    large.page.get_by_label("m4", exact=True).uncheck()
    large.find("tr.chosen", "the 38 that are on").wait_for()
    assert_fits(large)


def test_damage_has_a_slider_for_each_modality(large: Console) -> None:
    large.follow("Damage")
    large.wait_for_damage()
    assert large.page.get_by_role("slider").count() == 40
    large.damage(100, modality=39)
    large.find("h3", "Over the strength of the damage to m39").wait_for()
    assert sorted(len(body["inputs"]) for body in large.bodies()[-2:]) == [39, 40]
    rows = large.find("table", "Before and after").locator("tbody tr")
    assert rows.count() == 40
    assert rows.last.locator("td").first.inner_text() == "2.5 % → 0.0 %"
    assert_fits(large)


def test_many_answers_rows_and_saves_the_predicted_class_alone(large: Console) -> None:
    large.follow("Many")
    table = ",".join(NAMES) + "\n" + (",".join(["a spot"] * 40) + "\n") * 300
    file = {"name": "rows.csv", "mimeType": "text/csv", "buffer": table.encode()}
    large.page.get_by_label("Choose or drop a table").set_input_files(file)  # type: ignore[arg-type]
    large.page.get_by_role("button", name="Classify").click()
    large.find(".progress p", "Done: 300 of 300 rows, 0 with a problem").wait_for()
    assert large.find(".grid tbody tr").count() < 60
    assert_fits(large)
    with large.page.expect_download() as saved:
        large.page.get_by_role("button", name="Download as CSV").click()
    header, *lines = saved.value.path().read_text().splitlines()
    assert len(lines) == 300
    assert len(header.split(",")) == 4 + 2 * 40 + 2  # with more than 100 classes, none has a column


def test_watch_shows_all_modalities_and_visible_classes(large: Console) -> None:
    large.follow("Watch")
    large.find(".grid td", "few").first.wait_for()
    heads = large.find(".figures").first.locator("thead th").all_inner_texts()
    assert heads == NAMES
    assert large.find("li", ", words: ").count() == 10  # those that drift most
    grid = large.find(".grid")
    assert grid.get_attribute("aria-rowcount") == "1001"
    assert grid.locator("tbody tr").count() < 60
    assert_fits(large)


def test_about_has_a_row_for_each_subset(large: Console) -> None:
    large.follow("About")
    large.find("[role=alert]", "the bundle has no model card").wait_for()
    assert large.find("tbody tr").count() == 81
    assert_fits(large)
