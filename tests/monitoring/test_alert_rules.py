"""Alerts: Prometheus takes them, each fires and clears as its test says, and the runbook knows each."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from tailfuse_service.http import paths

from monitoring.dashboards import promql
from tests.support.process import ran
from tests.support.programs import locate

MONITORING = Path(__file__).parents[2] / "monitoring"
PROMETHEUS = MONITORING / "prometheus"
TESTS = sorted((PROMETHEUS / "tests").glob("*.yml"))
RUNBOOK = (MONITORING.parent / "docs" / "RUNBOOK.md").read_text()


def rules_in(name: str, kind: str) -> list[dict[str, Any]]:
    groups = yaml.safe_load((PROMETHEUS / name).read_text())["groups"]
    return [rule for group in groups for rule in group["rules"] if kind in rule]


ALERTS = {rule["alert"]: rule for rule in rules_in("alerts.yml", "alert")}
each_alert = pytest.mark.parametrize("name", ALERTS)


def promtool(*arguments: str) -> None:
    done = ran(locate("promtool"), *arguments)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.needs("promtool")
@pytest.mark.parametrize("file", ["prometheus.yml", "scaled.yml"])
def test_prometheus_takes_its_configuration_and_all_rules(file: str) -> None:
    promtool("check", "config", str(PROMETHEUS / file))


@pytest.mark.needs("amtool")
def test_alertmanager_takes_its_configuration() -> None:
    done = ran(
        locate("amtool"),
        "check-config", str(MONITORING / "alertmanager" / "alertmanager.yml"),
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.needs("promtool")
@pytest.mark.parametrize("file", TESTS, ids=lambda file: file.stem)
def test_alerts_fire_wait_and_clear_when_they_should(file: Path) -> None:
    promtool("test", "rules", str(file))


@each_alert
def test_each_alert_is_seen_waiting_firing_and_clear(name: str) -> None:
    tests = [test for file in TESTS for test in yaml.safe_load(file.read_text())["tests"]]
    fires = [
        [bool(check["exp_alerts"]) for check in test["alert_rule_test"] if check["alertname"] == name]
        for test in tests
    ]
    assert any(re.search("^0+1+0+$", "".join(str(int(each)) for each in checks)) for checks in fires)


@each_alert
def test_each_alert_says_how_bad_it_is_and_where_the_runbook_tells_more(name: str) -> None:
    alert = ALERTS[name]
    assert alert["labels"]["severity"] in ("critical", "warning", "info")
    assert set(alert["annotations"]) == {"summary", "description", "runbook"}
    assert alert["annotations"]["runbook"] == f"docs/RUNBOOK.md#{name.lower()}"


def test_the_runbook_has_a_section_for_each_alert_and_for_nothing_else() -> None:
    assert re.findall(r"^## (\w+)$", RUNBOOK, re.MULTILINE) == list(ALERTS)
    for section in RUNBOOK.split("\n## ")[1:]:
        assert re.findall(r"^- \*\*(.+?)\*\*: ", section, re.MULTILINE) == ["Means", "Look at", "Do"]


def test_the_runbooks_table_is_the_rules() -> None:
    rows = re.findall(r"^\| \[(\w+)\]\(#(\w+)\) \| (\w+) \| .+ \| (.*?) ?\|$", RUNBOOK, re.MULTILINE)
    assert rows == [
        (name, name.lower(), alert["labels"]["severity"], alert.get("for", "").replace("m", " min"))
        for name, alert in ALERTS.items()
    ]


# Predictions over HTTP or gRPC: the requests that alerts and dashboards count.
PREDICTION_ENDPOINTS = {paths.Endpoint.PREDICT, paths.Endpoint.PREDICT_BATCH, paths.Endpoint.MODEL_INFER}
ROUTE_MATCHERS = {
    "recording rules": (PROMETHEUS / "recording.yml").read_text(),
    "alerts": (PROMETHEUS / "alerts.yml").read_text(),
    "dashboards": f"{promql.ANSWERS} {promql.SINGLE}",
}


@pytest.mark.parametrize("where", ROUTE_MATCHERS)
def test_queries_that_name_routes_match_those_of_predictions(where: str) -> None:
    routes = [*paths.ROUTES.values(), *paths.GRPC_ROUTES.values()]
    predictions = {route.label for route in routes if route.endpoint in PREDICTION_ENDPOINTS}
    single = {route.label for route in routes if route.endpoint is paths.Endpoint.PREDICT}
    matchers = re.findall(r"""route=~["'](.+?)["']""", ROUTE_MATCHERS[where])
    assert matchers
    for matcher in matchers:
        matched = {
            label
            for label in [*(route.label for route in routes), paths.OTHER]
            if re.fullmatch(matcher, label)
        }
        assert matched == (single if matcher == ".*/predict" else predictions)


def test_every_recorded_series_that_is_asked_for_is_recorded() -> None:
    recorded = {rule["record"] for rule in rules_in("recording.yml", "record")}
    asked = set(re.findall(r"\b\w+:tailfuse_\w+:\w+", (PROMETHEUS / "alerts.yml").read_text() + RUNBOOK))
    assert asked <= recorded
