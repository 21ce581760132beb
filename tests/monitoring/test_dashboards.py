"""The files that Grafana reads are what the code makes, and say all that an operator needs."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tailfuse_service.metrics.families import FAMILIES

from monitoring.dashboards.__main__ import FOLDER, files
from monitoring.dashboards.levels import AVAILABILITY, FAST, LIMIT_S

ROOT = Path(__file__).parents[2]
DASHBOARDS = {name: json.loads(text) for name, text in files().items()}
PANELS = [
    pytest.param(panel, id=f"{name}: {panel['title']}")
    for name, dashboard in DASHBOARDS.items()
    for panel in dashboard["panels"]
    if panel["type"] != "row"
]


def test_the_committed_files_are_those_that_the_code_makes() -> None:
    written = {file.name: file.read_text() for file in FOLDER.glob("*.json")}
    assert written == files(), "run `make dashboards`"


def test_dashboards_have_names_of_their_own_that_never_change() -> None:
    assert {dashboard["uid"] for dashboard in DASHBOARDS.values()} == {
        "tailfuse-service", "tailfuse-fusion", "tailfuse-classes", "tailfuse-model",
    }  # fmt: skip


@pytest.mark.parametrize("dashboard", DASHBOARDS.values(), ids=DASHBOARDS)
def test_a_dashboard_fills_the_grid_without_overlap(dashboard: dict[str, Any]) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        x, y, w, h = (panel["gridPos"][key] for key in "xywh")
        cells = {(column, line) for column in range(x, x + w) for line in range(y, y + h)}
        assert x + w <= 24
        assert not cells & taken, panel["title"]
        taken |= cells
    lines = {line for _, line in taken}
    assert len(taken) == 24 * len(lines), "a row is not full"


@pytest.mark.parametrize("panel", PANELS)
def test_a_panel_says_what_it_tells_and_in_which_unit(panel: dict[str, Any]) -> None:
    assert len(panel["description"]) > 20
    assert panel["description"].endswith(".")
    assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    is_grid = panel["type"] in ("table", "heatmap")
    assert is_grid or panel["fieldConfig"]["defaults"]["unit"]


def variables_in(texts: list[str]) -> Iterator[str]:
    for text in texts:
        yield from re.findall(r"\$\{?([a-z]\w*)", text)


@pytest.mark.parametrize("dashboard", DASHBOARDS.values(), ids=DASHBOARDS)
def test_every_variable_that_is_used_is_defined(dashboard: dict[str, Any]) -> None:
    defined = {variable["name"] for variable in dashboard["templating"]["list"]}
    assert {"datasource", "model", "version", "instance"} <= defined
    used = set(variables_in([json.dumps(dashboard)]))
    assert used == defined


@pytest.mark.parametrize("panel", PANELS)
def test_every_query_asks_only_for_what_the_variables_choose(panel: dict[str, Any]) -> None:
    for target in panel["targets"]:
        selectors = re.findall(r"(\b(?:tailfuse_\w+|process_\w+|up\b))(\{[^}]*\})?", target["expr"])
        assert selectors
        for metric, matchers in selectors:
            assert 'instance=~"$instance"' in matchers, metric
            assert ('model=~"$model",version=~"$version"' in matchers) == belongs_to_a_bundle(metric), metric


def belongs_to_a_bundle(metric: str) -> bool:
    """By what the service says of its labels; fails for a metric that it does not have."""
    name = re.sub("_(total|bucket|sum|count)$", "", metric.removeprefix("tailfuse_"))
    return metric.startswith("tailfuse_") and "model" in FAMILIES[name].labels


def find_panels(kind: str) -> dict[str, dict[str, Any]]:
    """Return the panels of a kind by their titles."""
    panels = [panel for dashboard in DASHBOARDS.values() for panel in dashboard["panels"]]
    return {panel["title"]: panel for panel in panels if panel["type"] == kind}


def test_every_coloured_band_says_what_its_colours_mean() -> None:
    bands = find_panels("state-timeline")
    assert bands
    for panel in bands.values():
        assert panel["options"]["legend"]["showLegend"] is True


def test_a_service_that_nobody_sees_is_not_green() -> None:
    # A count of what is not ready would be 0 where there is nothing at all.
    panel = find_panels("stat")["Ready"]
    assert "vector(" not in panel["targets"][0]["expr"]
    steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
    assert [(step["value"], step["color"]) for step in steps][-1] == (1, "green")
    assert steps[0]["color"] == "red"


def test_no_share_of_samples_with_a_modality_is_above_all_of_them() -> None:
    shown = {**find_panels("state-timeline"), **find_panels("timeseries")}
    for title in ("Presence", "Presence against its reference"):
        assert re.search(r"clamp_max\(.*, 1\)", shown[title]["targets"][0]["expr"])


def test_the_service_levels_are_those_of_the_alerts() -> None:
    folder = ROOT / "monitoring" / "prometheus"
    allowed = set(re.findall(r"\* (0\.0+1)\b", (folder / "alerts.yml").read_text()))
    assert allowed == {f"{1 - AVAILABILITY:.3f}", f"{1 - FAST:.2f}"}
    limits = set(re.findall(r'le="([\d.]+)"', (folder / "recording.yml").read_text()))
    assert limits == {str(LIMIT_S)}
    assert LIMIT_S in FAMILIES["request_seconds"].edges


def test_rates_look_back_over_scrapes_as_frequent_as_prometheus_makes_them() -> None:
    source = yaml.safe_load((ROOT / "monitoring/grafana/provisioning/datasources/prometheus.yml").read_text())
    scraped = yaml.safe_load((ROOT / "monitoring/prometheus/prometheus.yml").read_text())
    (prometheus,) = source["datasources"]
    assert prometheus["jsonData"]["timeInterval"] == scraped["global"]["scrape_interval"]
