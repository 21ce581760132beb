"""Every query of every panel, asked of a real Prometheus that has scraped the real service.

A misspelt metric is no error to Prometheus, only an empty answer: every query must return numbers. There is
something to show on every panel: a camera that goes bad in three ways, callers' mistakes, a new version.
"""

import json
import math
import re
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tailfuse_service.bundle import MANIFEST

from monitoring.charts.panels import Panel, Values, expand_panels, replace_variables
from monitoring.dashboards.__main__ import FOLDER
from tests.support.asking import Inputs
from tests.support.monitoring.prometheus import Answer, Prometheus, start_prometheus
from tests.support.monitoring.traffic import (
    Traffic,
    add_noise,
    draw_subset,
    drop_images,
    truncate_images,
)
from tests.support.monitoring.versions import Versions, copy_version
from tests.support.process import Service, start_service, until

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.needs("prometheus")]

WINDOW = "30s"
MAY_BE_EMPTY = {"GPU memory": "the service runs on the CPU"}
DASHBOARDS = {file.stem: json.loads(file.read_text()) for file in sorted(FOLDER.glob("*.json"))}
NAMES = [
    (name, panel["title"], target["refId"])
    for name, dashboard in DASHBOARDS.items()
    for panel in dashboard["panels"]
    for target in panel.get("targets", [])
]


@dataclass(frozen=True)
class Scraped:
    """A Prometheus, what it has seen, and the dashboards' variables as they are to be set for it."""

    prometheus: Prometheus
    values: Values
    since: float
    at: float  # the instant that single values are of

    def answer(self, target: Panel) -> Answer:
        """Return the answer that Grafana would receive."""
        if target.get("instant"):
            return self.prometheus.query(target["expr"], self.at)
        return self.prometheus.query_range(target["expr"], self.since, time.time(), 1)


@pytest.fixture(scope="module")
def scraped(
    bundle_folder: Path,
    next_version: Path,
    rows: tuple[list[Inputs], list[float]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Scraped]:
    folder = tmp_path_factory.mktemp("scraped")
    versions = Versions(folder)
    versions.put(bundle_folder, "first")
    versions.give("digits", stable="1")
    roles = ("--roles", str(versions.roles_file))
    with ExitStack() as running:
        service = start_service(versions.folder, *roles, log=folder / "service.log")
        running.callback(service.stop)
        prometheus = start_prometheus(folder / "prometheus", [service.url.removeprefix("http://")])
        running.callback(prometheus.stop)
        since = time.time()
        with Traffic(service.url, *rows, per_second=150) as callers:
            for mood in (draw_subset, add_noise, truncate_images, drop_images):
                callers.mood = mood
                enough = callers.sent + 300
                until(lambda enough=enough: callers.sent > enough, "they have asked")
            callers.mood = draw_subset
            roll_out(versions, bundle_folder, next_version)
            service.process.send_signal(signal.SIGHUP)
            # However slow the machine is: first the trials of both, which only get time that is left; then
            # some samples in all, and a rate, which needs two scrapes.
            by_version = "count by (version) (tailfuse_samples_total)"
            until(lambda: len(prometheus.query(by_version)) == 3, "the new versions answer")
            answered = 'tailfuse_samples_total{version=~"[23]"}'
            increase = f"increase({answered}[{WINDOW}])"
            many = f"sum by (version) ({answered}) > 20 and sum by (version) ({increase}) > 0"
            until(lambda: len(prometheus.query(many)) == 2, "both are scraped twice")
            # The panels of drift compare a window with what came before it, if either has a hundred answers.
            first = 'sum(increase(tailfuse_predictions_total{version="1"}'
            before = f"{first}[1d] offset {WINDOW})) >= 100 and {first}[{WINDOW}])) >= 100"
            # Asked as the panels are: the last step that they ask for may be a second ago.
            until(
                lambda: prometheus.query_range(before, since, time.time(), 1),
                "a window has passed since its answers",
            )
        yield Scraped(prometheus, values_for(service, since), since, prometheus.scraped_at())


def roll_out(versions: Versions, first: Path, second: Path) -> None:
    """The second version becomes a canary; a third one, whose classes have other names, the shadow."""
    classes = json.loads((first / MANIFEST).read_text())["classes"]
    turned = [each | {"name": other["name"]} for each, other in zip(classes, classes[::-1], strict=True)]
    third = copy_version(first, "3", versions.folder.parent / "third", classes=turned)
    canary, shadow = {"version": "2", "share": 0.4}, {"version": "3", "share": 1.0}
    versions.give("digits", stable="1", canary=canary, shadow=shadow)
    versions.put(second, "second")
    versions.put(third, "third")


def values_for(service: Service, since: float) -> Values:
    return {
        "datasource": "prometheus",
        "model": ["digits"],
        "version": ["1", "2", "3"],
        "instance": [service.url.removeprefix("http://")],
        "modality": ["image", "fourier", "shape"],
        "window": WINDOW,
        "__rate_interval": WINDOW,
        "__range": f"{math.ceil(time.time() - since)}s",
    }


def find_targets(scraped: Scraped, name: str, title: str, ref: str) -> Iterator[tuple[Panel, Panel]]:
    """Yield the panel and its target, once for each repetition of its row."""
    titles = {
        replace_variables(title, {**scraped.values, "modality": each}) for each in scraped.values["modality"]
    }
    for panel in expand_panels(DASHBOARDS[name], scraped.values):
        for target in panel.get("targets", []):
            if panel["title"] in titles and target["refId"] == ref:
                yield panel, target


@pytest.mark.parametrize(("name", "title", "ref"), NAMES, ids=[": ".join(each) for each in NAMES])
def test_a_panel_has_something_to_show(scraped: Scraped, name: str, title: str, ref: str) -> None:
    asked = list(find_targets(scraped, name, title, ref))
    assert asked
    for _, query in asked:
        numbers = [number for series in scraped.answer(query) for number in list_numbers(series)]
        told = [number for number in numbers if math.isfinite(number)]
        assert bool(told) != (title in MAY_BE_EMPTY), query["expr"]


def list_numbers(series: dict[str, Any]) -> list[float]:
    return [float(number) for _, number in series.get("values", [series.get("value")])]


@pytest.mark.parametrize("dashboard", DASHBOARDS.values(), ids=DASHBOARDS)
def test_every_variable_has_values_to_choose_from(scraped: Scraped, dashboard: dict[str, Any]) -> None:
    asked = {
        each["name"]: each["query"] for each in dashboard["templating"]["list"] if each["type"] == "query"
    }
    assert {"model", "version", "instance"} <= set(asked)
    for name, query in asked.items():
        found = re.fullmatch(r"label_values\((.+), (\w+)\)", query)
        assert found, query
        chosen = replace_variables(found[1], scraped.values)
        values = scraped.prometheus.label_values(found[2], chosen, scraped.since)
        assert values >= set(scraped.values[name]), query


@pytest.mark.parametrize("dashboard", DASHBOARDS.values(), ids=DASHBOARDS)
def test_a_new_version_is_marked(scraped: Scraped, dashboard: dict[str, Any]) -> None:
    (marks,) = dashboard["annotations"]["list"]
    query = {"expr": replace_variables(marks["expr"], scraped.values)}
    assert {series["metric"]["version"] for series in scraped.answer(query)} >= {"2", "3"}
