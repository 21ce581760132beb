"""Common parts of all dashboards: variables, links, annotations of new versions, and the JSON file."""

import json
from collections.abc import Sequence
from typing import Any

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import (
    Dashboard,
    DashboardCursorSync,
    DashboardLinkType,
    VariableOption,
    VariableRefresh,
    VariableSort,
)

from monitoring.dashboards.panels import SOURCE, Panel
from monitoring.dashboards.promql import BUNDLE, select, total

TAG = "tailfuse"
ALL = VariableOption(selected=True, text=["All"], value=["$__all"])

Row = tuple[dashboard.Row, Sequence[Panel]]
Variable = dashboard.QueryVariable | dashboard.CustomVariable


def row(title: str, *panels: Panel) -> Row:
    """Return a row of panels under a title."""
    return dashboard.Row(title), panels


def row_for_each(variable: str, title: str, *panels: Panel) -> Row:
    """Return a row that repeats for each selected value of a variable."""
    return dashboard.Row(title).repeat(variable), panels


def make_label_variable(label: str, metric: str) -> dashboard.QueryVariable:
    """Return a variable with the values of a label; initially all are selected."""
    variable = dashboard.QueryVariable(label).label(label.capitalize()).datasource(SOURCE)
    variable = variable.query(f"label_values({metric}, {label})").sort(VariableSort.NATURAL_ASC)
    return variable.multi(True).include_all(True).current(ALL).refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)


def make_window_variable(*choices: str, current: str) -> dashboard.CustomVariable:
    """Return a variable with window lengths, for shares that are noisy over a few seconds."""
    variable = dashboard.CustomVariable("window").label("Window").values(",".join(choices))
    return variable.current(VariableOption(selected=True, text=current, value=current))


def make_dashboard(
    uid: str, title: str, description: str, rows: Sequence[Row], variables: Sequence[Variable] = ()
) -> Dashboard:
    """Return a dashboard with consecutive panel ids."""
    frame = dashboard.Dashboard(f"tailfuse: {title}").uid(uid).description(description).tags([TAG])
    frame = (
        frame.refresh("10s").time("now-1h", "now").timezone("browser").tooltip(DashboardCursorSync.CROSSHAIR)
    )
    frame = frame.link(
        dashboard.DashboardLink("tailfuse")
        .type(DashboardLinkType.DASHBOARDS)
        .tags([TAG])
        .keep_time(True)
        .include_vars(True)
    )
    frame = frame.annotation(make_version_annotation()).variables(
        [
            dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus"),
            make_label_variable("model", "tailfuse_model_info"),
            make_label_variable("version", 'tailfuse_samples_total{model=~"$model"}'),
            make_label_variable("instance", 'tailfuse_model_info{model=~"$model"}'),
            *variables,
        ]
    )
    for head, panels in rows:
        frame = frame.with_row(head)
        for panel in panels:
            frame = frame.with_panel(panel)
    built = frame.build()
    for number, placed in enumerate(built.panels or [], start=1):
        placed.id_val = number
    return built


def make_version_annotation() -> dashboard.AnnotationQuery:
    """Return annotations where a new version is served."""
    current = select("tailfuse_model_info")
    appeared = f"{total(current, BUNDLE)} unless {total(f'{current} offset $__rate_interval', BUNDLE)}"
    return (
        dashboard.AnnotationQuery()
        .name("New version")
        .datasource(SOURCE)
        .enable(True)
        .icon_color("purple")
        .expr(appeared)
    )


def encode_dashboard(built: Dashboard) -> str:
    """Return the dashboard as the JSON that Grafana reads."""
    plain: dict[str, Any] = json.loads(json.dumps(built, cls=JSONEncoder))
    return json.dumps(plain, indent=1, ensure_ascii=False, sort_keys=True) + "\n"
