"""The kinds of panel, with one style for each."""

from collections.abc import Sequence
from typing import TypeVar

from grafana_foundation_sdk.builders import (
    barchart,
    bargauge,
    common,
    dashboard,
    heatmap,
    prometheus,
    stat,
    statetimeline,
    table,
    timeseries,
)
from grafana_foundation_sdk.models import common as enums
from grafana_foundation_sdk.models.dashboard import (
    DataSourceRef,
    DataTransformerConfig,
    DynamicConfigValue,
    FieldColorModeId,
    Threshold,
    ThresholdsMode,
    ValueMap,
    ValueMappingResult,
)
from grafana_foundation_sdk.models.heatmap import HeatmapColorMode, HeatmapColorScale
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
GOOD, WARN, BAD, PLAIN, FAINT = "green", "orange", "red", "blue", "#8e8e8e"
MANY, MEDIUM, FEW = "blue", "yellow", "purple"
PSI = ((None, GOOD), (0.1, WARN), (0.25, BAD))  # the usual thresholds of a population stability index
HEALTH = ((None, BAD), (0.25, WARN), (0.5, GOOD))  # of a value divided by its reference

Query = prometheus.Dataquery
Steps = Sequence[tuple[float | None, str]]  # lower bound and colour; None is the lowest
Panel = (
    bargauge.Panel
    | barchart.Panel
    | heatmap.Panel
    | stat.Panel
    | statetimeline.Panel
    | table.Panel
    | timeseries.Panel
)
P = TypeVar(
    "P",
    bargauge.Panel,
    barchart.Panel,
    heatmap.Panel,
    stat.Panel,
    statetimeline.Panel,
    table.Panel,
    timeseries.Panel,
)


def range_query(expr: str, legend: str = "") -> Query:
    """Return a query of the values over time; `legend` is a template of labels, such as {{model}}."""
    return Query().expr(expr).legend_format(legend or "__auto").range()


def instant_query(expr: str, legend: str = "") -> Query:
    """Return a query of the last value, for expressions with their own window."""
    return Query().expr(expr).legend_format(legend or "__auto").instant()


def table_query(expr: str) -> Query:
    """Return a query of a table: a row per series with its labels as columns."""
    return Query().expr(expr).instant().format(PromQueryFormat.TABLE)


def lines(
    title: str,
    description: str,
    *queries: Query,
    unit: str = "short",
    span: int = 8,
    height: int = 8,
    steps: Steps = (),
    stacked: bool = False,
    legend_calcs: Sequence[str] = ("lastNotNull", "max"),
) -> timeseries.Panel:
    """Return a panel of series over time; `steps` are dashed lines."""
    panel = _panel(timeseries.Panel(), title, description, queries, span, height).unit(unit).min(0)
    panel = panel.line_width(1.5 if stacked else 2).fill_opacity(55 if stacked else 5)
    panel = panel.gradient_mode(enums.GraphGradientMode.NONE if stacked else enums.GraphGradientMode.OPACITY)
    panel = panel.show_points(enums.VisibilityMode.NEVER).span_nulls(60_000)
    panel = panel.color_scheme(dashboard.FieldColor().mode(FieldColorModeId.PALETTE_CLASSIC_BY_NAME))
    panel = panel.legend(
        common.VizLegendOptions()
        .display_mode(enums.LegendDisplayMode.TABLE if legend_calcs else enums.LegendDisplayMode.LIST)
        .placement(enums.LegendPlacement.BOTTOM)
        .show_legend(True)
        .calcs(list(legend_calcs))
    )
    panel = panel.tooltip(
        common.VizTooltipOptions().mode(enums.TooltipDisplayMode.MULTI).sort(enums.SortOrder.DESCENDING)
    )
    if stacked:
        panel = panel.stacking(common.StackingConfig().mode(enums.StackingMode.NORMAL).group("A"))
    if steps:
        style = common.GraphThresholdsStyleConfig().mode(enums.GraphThresholdsStyleMode.DASHED)
        panel = panel.thresholds(_thresholds([(steps[0][0], "transparent"), *steps[1:]])).thresholds_style(
            style
        )
    return panel


def number(
    title: str,
    description: str,
    query: Query,
    unit: str = "short",
    span: int = 3,
    height: int = 4,
    steps: Steps = ((None, PLAIN),),
    filled: bool = False,
) -> stat.Panel:
    """Return a panel of the last value in the colour of its step; `filled` colours the background."""
    panel = (
        _panel(stat.Panel(), title, description, [query], span, height)
        .unit(unit)
        .thresholds(_thresholds(steps))
    )
    panel = panel.color_scheme(dashboard.FieldColor().mode(FieldColorModeId.THRESHOLDS))
    panel = panel.graph_mode(enums.BigValueGraphMode.NONE if filled else enums.BigValueGraphMode.AREA)
    panel = panel.color_mode(enums.BigValueColorMode.BACKGROUND if filled else enums.BigValueColorMode.VALUE)
    return panel.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))


def states(
    title: str,
    description: str,
    query: Query,
    steps: Steps,
    unit: str = "percentunit",
    span: int = 8,
    height: int = 5,
    names: Sequence[str] = (),
) -> statetimeline.Panel:
    """Return a panel of coloured bands, one per series; `names` are the names of the values 1, 2, …"""
    panel = _panel(statetimeline.Panel(), title, description, [query], span, height).unit(unit)
    panel = panel.thresholds(_thresholds(steps)).merge_values(True).row_height(0.85).fill_opacity(85)
    panel = panel.legend(  # what the colours mean
        common.VizLegendOptions()
        .display_mode(enums.LegendDisplayMode.LIST)
        .placement(enums.LegendPlacement.BOTTOM)
        .show_legend(True)
    )
    panel = panel.color_scheme(dashboard.FieldColor().mode(FieldColorModeId.THRESHOLDS))
    if names:
        texts = {str(number): ValueMappingResult(text=name) for number, name in enumerate(names, start=1)}
        panel = panel.mappings([ValueMap(options=texts)])
    shown = enums.VisibilityMode.AUTO if names else enums.VisibilityMode.NEVER
    return panel.show_value(shown).line_width(0)


def ranking(
    title: str,
    description: str,
    query: Query,
    steps: Steps,
    unit: str = "short",
    span: int = 8,
    height: int = 8,
) -> bargauge.Panel:
    """Return a panel with a bar per series in the colour of its step."""
    panel = _panel(bargauge.Panel(), title, description, [query], span, height).unit(unit).min(0)
    panel = panel.thresholds(_thresholds(steps)).orientation(enums.VizOrientation.HORIZONTAL)
    panel = panel.color_scheme(dashboard.FieldColor().mode(FieldColorModeId.THRESHOLDS))
    panel = panel.display_mode(enums.BarGaugeDisplayMode.BASIC).show_unfilled(True)
    return panel.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))


def heat_map(
    title: str,
    description: str,
    buckets: str,
    unit: str = "percentunit",
    scheme: str = "Oranges",
    span: int = 8,
    height: int = 8,
) -> heatmap.Panel:
    """Return a heat map of a histogram over time; `buckets` are its rates by `le`."""
    query = Query().expr(buckets).legend_format("{{le}}").range().format(PromQueryFormat.HEATMAP)
    panel = _panel(heatmap.Panel(), title, description, [query], span, height)
    colours = (
        heatmap.HeatmapColorOptions()
        .mode(HeatmapColorMode.SCHEME)
        .scale(HeatmapColorScale.EXPONENTIAL)
        .scheme(scheme)
        .steps(64)
        .exponent(0.5)
    )
    panel = panel.calculate(False).color(colours).y_axis(heatmap.YAxisConfig().unit(unit))
    return panel.cell_gap(1).filter_values(heatmap.FilterValueRange().le(1e-9))


def grid(
    title: str,
    description: str,
    *queries: Query,
    names: dict[str, str],
    hidden: Sequence[str] = ("Time",),
    span: int = 24,
    height: int = 9,
) -> table.Panel:
    """Return a table that joins queries by their labels; `names` are the columns in order."""
    panel = _panel(table.Panel(), title, description, queries, span, height)
    organized = {
        "excludeByName": dict.fromkeys(hidden, True),
        "indexByName": {name: place for place, name in enumerate(names)},
        "renameByName": names,
    }
    return panel.transformations(
        [
            DataTransformerConfig(id_val="merge", options={}),
            DataTransformerConfig(id_val="organize", options=organized),
        ]
    )


def bars_by(
    title: str,
    description: str,
    query: Query,
    rows: str,
    columns: str,
    unit: str = "percentunit",
    span: int = 12,
    height: int = 8,
) -> barchart.Panel:
    """Return a bar chart: a group per value of the label `rows`, a bar per value of `columns`."""
    panel = _panel(barchart.Panel(), title, description, [query], span, height).unit(unit).min(0)
    matrix = {"rowField": rows, "columnField": columns, "valueField": "Value", "emptyValue": "zero"}
    panel = panel.transformations([DataTransformerConfig(id_val="groupingToMatrix", options=matrix)])
    panel = panel.color_scheme(dashboard.FieldColor().mode(FieldColorModeId.PALETTE_CLASSIC_BY_NAME))
    return panel.x_field(f"{rows}\\{columns}").show_value(enums.VisibilityMode.NEVER).fill_opacity(80)


def value(key: str, of: object) -> DynamicConfigValue:
    """Return a property of an override."""
    return DynamicConfigValue(id_val=key, value=of)


def colour(name: str) -> DynamicConfigValue:
    """Return the override of a field that fixes its colour by one of Grafana's names: "semi-dark-red"."""
    return value("color", {"mode": "fixed", "fixedColor": name})


def step_list(steps: Steps) -> dict[str, object]:
    """Return thresholds in the form of an override."""
    return {"mode": "absolute", "steps": [{"value": start, "color": name} for start, name in steps]}


def _thresholds(steps: Steps) -> dashboard.ThresholdsConfig:
    """Return absolute thresholds."""
    config = dashboard.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE)
    return config.steps([Threshold(value=start, color=name) for start, name in steps])


def _panel(panel: P, title: str, description: str, queries: Sequence[Query], span: int, height: int) -> P:
    targets = [query.ref_id(chr(ord("A") + place)) for place, query in enumerate(queries)]
    return (
        panel.title(title)
        .description(description)
        .datasource(SOURCE)
        .span(span)
        .height(height)
        .targets(list(targets))
    )
