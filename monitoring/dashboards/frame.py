"""What all dashboards have in common: variables, links, marks of new versions, and the file of each."""

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
    return dashboard.Row(title), panels


def row_for_each(variable: str, title: str, *panels: Panel) -> Row:
    """The row once for each chosen value of a variable."""
    return dashboard.Row(title).repeat(variable), panels


def values_of(label: str, metric: str) -> dashboard.QueryVariable:
    """A variable with the values of a label; all of them are chosen at first."""
    variable = dashboard.QueryVariable(label).label(label.capitalize()).datasource(SOURCE)
    variable = variable.query(f"label_values({metric}, {label})").sort(VariableSort.NATURAL_ASC)
    return variable.multi(True).include_all(True).current(ALL).refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)


def window_of(*choices: str, current: str) -> dashboard.CustomVariable:
    """A variable with the times to look back at each instant, where a few seconds' classes would be noise."""
    variable = dashboard.CustomVariable("window").label("Window").values(",".join(choices))
    return variable.current(VariableOption(selected=True, text=current, value=current))


def framed(
    uid: str, title: str, tells: str, rows: Sequence[Row], variables: Sequence[Variable] = ()
) -> Dashboard:
    """A dashboard; panels are numbered in their order."""
    frame = dashboard.Dashboard(f"tailfuse: {title}").uid(uid).description(tells).tags([TAG])
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
    frame = frame.annotation(new_versions()).variables(
        [
            dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus"),
            values_of("model", "tailfuse_model_info"),
            values_of("version", 'tailfuse_samples_total{model=~"$model"}'),
            values_of("instance", 'tailfuse_model_info{model=~"$model"}'),
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


def new_versions() -> dashboard.AnnotationQuery:
    """A mark where a version is served that was not a moment before."""
    served = select("tailfuse_model_info")
    begun = f"{total(served, BUNDLE)} unless {total(f'{served} offset $__rate_interval', BUNDLE)}"
    return (
        dashboard.AnnotationQuery()
        .name("New version")
        .datasource(SOURCE)
        .enable(True)
        .icon_color("purple")
        .expr(begun)
    )


def as_json(built: Dashboard) -> str:
    """The file that Grafana reads."""
    plain: dict[str, Any] = json.loads(json.dumps(built, cls=JSONEncoder))
    return json.dumps(plain, indent=1, ensure_ascii=False, sort_keys=True) + "\n"
