"""Draw a dashboard's panels from Prometheus' answers: plain charts at their places on Grafana's grid."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, PowerNorm
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import EngFormatter, FuncFormatter, MaxNLocator
from numpy.typing import NDArray

from monitoring.charts.panels import Panel

WIDTH, HEAD, UNIT, DPI = 1500, 80, 33, 100  # pixels; UNIT is the height of a unit of Grafana's grid
PALETTE = ("tab:blue", "tab:orange", "tab:green", "tab:purple", "tab:olive", "tab:cyan", "tab:pink")  # no red
UNITS = {"s": "s", "bytes": "B", "reqps": "req/s", "cps": "/s"}
Answer = Sequence[Mapping[str, Any]]  # of Prometheus' API: metric, and value or values
Ask = Callable[[Panel], Answer]  # answers a target of a panel
Phase = tuple[float, str, str]  # start (Unix seconds), description, colour
Colours = dict[str, str]  # by the name of a series; the same on all panels


class Series(NamedTuple):
    """Values at the chart's times; NaN where there is none. An instant query has only the last."""

    name: str
    labels: Mapping[str, str]
    values: NDArray[np.float64]

    @property
    def last(self) -> float:
        finite = self.values[np.isfinite(self.values)]
        return float(finite[-1]) if len(finite) else math.nan


def draw_dashboard(
    title: str, panels: Sequence[Panel], times: NDArray[np.float64], ask: Ask, story: Sequence[Phase]
) -> Figure:
    """Return a figure of the panels; the band under the title shows the phases of the run."""
    height = HEAD + UNIT * max(each["gridPos"]["y"] + each["gridPos"]["h"] for each in panels)
    figure = Figure(figsize=(WIDTH / DPI, height / DPI), dpi=DPI)

    def add_axes(left: float, top: float, width: float, depth: float) -> Axes:
        return figure.add_axes((left / WIDTH, 1 - (top + depth) / height, width / WIDTH, depth / height))

    figure.text(0.01, 1 - 20 / height, title, fontsize=14, fontweight="bold", va="center")
    draw_story(add_axes(15, 40, WIDTH - 30, 30), times, story)
    colours: Colours = {}
    for panel in panels:
        x, y, w, h = (panel["gridPos"][side] for side in "xywh")
        left, top = x * WIDTH / 24, HEAD + y * UNIT
        if panel["type"] == "row":
            figure.text(15 / WIDTH, 1 - (top + 18) / height, panel["title"], fontsize=11, fontweight="bold")
            continue
        margin = 110 if panel["type"] in ("state-timeline", "bargauge", "barchart") else 55
        axes = add_axes(left + margin, top + 26, w * WIDTH / 24 - margin - 15, h * UNIT - 52)
        axes.set_title(panel["title"], fontsize=9, loc="left", x=-0.02)
        axes.tick_params(labelsize=7)
        if panel["type"] == "table":
            draw_table(axes, panel, [ask(target) for target in panel["targets"]])
        else:
            series = [each for target in panel["targets"] for each in read_series(target, ask(target), times)]
            DRAW[panel["type"]](axes, panel, times, series, colours)
    return figure


def draw_story(axes: Axes, times: NDArray[np.float64], story: Sequence[Phase]) -> None:
    """Draw the phases as a band."""
    axes.axis("off")
    axes.set(xlim=(times[0], times[-1]), ylim=(0, 1))
    ends = [*(start for start, _, _ in story[1:]), times[-1]]
    for (start, description, colour), end in zip(story, ends, strict=True):
        axes.axvspan(max(start, times[0]), end, 0.75, 1, color=colour, alpha=0.8)
        axes.text(max(start, times[0]), 0.25, description, fontsize=8.5)


def read_series(target: Panel, answer: Answer, times: NDArray[np.float64]) -> list[Series]:
    """Return the answer to one query; series without a finite value are left out."""
    series = []
    for each in answer:
        found = {float(time): float(value) for time, value in each.get("values") or [each["value"]]}
        on_grid = [found.get(time, math.nan) for time in times] if "values" in each else found.values()
        values = np.array([*on_grid])
        if np.isfinite(values).any():
            series.append(Series(format_legend(target, each["metric"]), each["metric"], values))
    return series


def format_legend(target: Panel, labels: Mapping[str, str]) -> str:
    """Return a series' name in the legend: its template filled in, or its first label."""
    legend = target.get("legendFormat", "__auto")
    if legend == "__auto":
        return next(iter(labels.values()), "")
    return re.sub(r"\{\{(\w+)\}\}", lambda found: labels.get(found[1], ""), legend)


def draw_lines(axes: Axes, panel: Panel, times: Any, series: Sequence[Series], colours: Colours) -> None:
    """Draw the series of a panel over time, stacked if the panel says so."""
    defaults = panel["fieldConfig"]["defaults"]
    names = [each.name for each in series]
    chosen = [colours.setdefault(name, PALETTE[len(colours) % len(PALETTE)]) for name in names]
    if defaults["custom"].get("stacking", {}).get("mode") == "normal" and series:
        axes.stackplot(times, [np.nan_to_num(each.values) for each in series], labels=names, colors=chosen)
    else:
        for each, colour in zip(series, chosen, strict=True):
            axes.plot(times, each.values, label=each.name, color=colour, linewidth=1)
    if any(names) and len(names) <= 10:
        axes.legend(fontsize=6, ncols=2, loc="upper left", framealpha=0.6)
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_locator(MaxNLocator(4))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: format_value(value, defaults["unit"])))
    format_time(axes, times)


def draw_states(axes: Axes, panel: Panel, times: Any, series: Sequence[Series], colours: Colours) -> None:
    """Draw a band for each series, in the colours of the panel's thresholds."""
    steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
    limits = [step["value"] for step in steps[1:]]
    states = [np.where(np.isfinite(each.values), np.digitize(each.values, limits), np.nan) for each in series]
    if states:
        palette = ListedColormap([convert_colour(step["color"]) for step in steps])
        patches = [
            Patch(color=palette(place), label=name) for place, name in enumerate(name_states(panel, limits))
        ]
        axes.legend(handles=patches, fontsize=6, ncols=len(patches), loc="upper left", framealpha=0.8)
        axes.pcolormesh(times, range(len(series)), states, cmap=palette, vmin=0, vmax=len(steps) - 1)
    axes.set_yticks(range(len(series)), [each.name for each in series])
    format_time(axes, times)


def name_states(panel: Panel, limits: Sequence[float]) -> list[str]:
    """Return the name of each colour of a band: those that the panel gives, or the bounds of its values."""
    defaults = panel["fieldConfig"]["defaults"]
    named = [option["text"] for each in defaults.get("mappings", []) for option in each["options"].values()]
    if named:
        return named
    bounds = [format_value(limit, defaults["unit"]) for limit in limits]
    return [f"< {bounds[0]}", *(f"≥ {bound}" for bound in bounds)]


def draw_heat_map(axes: Axes, panel: Panel, times: Any, series: Sequence[Series], colours: Colours) -> None:
    """Draw the counts of a histogram's buckets over time, without the empty buckets at both ends."""
    ordered = sorted(series, key=lambda each: float(each.labels["le"]))
    cumulative = np.reshape([np.nan_to_num(each.values) for each in ordered], (-1, len(times)))
    counts = np.diff(cumulative, axis=0, prepend=0.0)  # (buckets, times)
    filled = np.flatnonzero(counts.sum(1) > 0)
    if len(filled):
        shown = slice(filled[0], filled[-1] + 1)
        edges = [float(each.labels["le"]) for each in ordered[shown]]
        axes.pcolormesh(times, range(len(edges)), counts[shown], cmap="Oranges", norm=PowerNorm(0.5))
        ticks = range(0, len(edges), max(1, len(edges) // 6))
        unit = panel["options"]["yAxis"]["unit"]
        axes.set_yticks(ticks, [format_value(edges[tick], unit) for tick in ticks])
    format_time(axes, times)


def draw_number(axes: Axes, panel: Panel, times: Any, series: Sequence[Series], colours: Colours) -> None:
    """Write the last value of a panel as text."""
    axes.axis("off")
    text = format_value(series[0].last, panel["fieldConfig"]["defaults"]["unit"]) if series else "no data"
    axes.text(0.4, 0.45, text, fontsize=17, ha="center", va="center", transform=axes.transAxes)


def draw_bars(axes: Axes, panel: Panel, times: Any, series: Sequence[Series], colours: Colours) -> None:
    """Draw the last value of each series as a bar."""
    names = [" ".join(each.labels.values()) if panel["type"] == "barchart" else each.name for each in series]
    bars = axes.barh(range(len(series)), [each.last for each in series], color="tab:blue")
    unit = panel["fieldConfig"]["defaults"]["unit"]
    axes.bar_label(bars, [format_value(each.last, unit) for each in series], fontsize=7)
    axes.set_yticks(range(len(series)), names)
    axes.set_xticks([])
    axes.margins(x=0.12)  # room for the labels
    axes.invert_yaxis()


def draw_table(axes: Axes, panel: Panel, answers: Sequence[Answer]) -> None:
    """Draw a table; results of several queries share a row if their common labels agree."""
    axes.axis("off")
    (options,) = [each["options"] for each in panel["transformations"] if each["id"] == "organize"]
    order = options["indexByName"]
    titles = {name: options["renameByName"][name] for name in sorted(order, key=order.__getitem__)}
    units = {
        override["matcher"]["options"]: each["value"]
        for override in panel.get("fieldConfig", {}).get("overrides", [])
        for each in override["properties"]
        if each["id"] == "unit"
    }
    rows: list[dict[str, Any]] = []
    for target, answer in zip(panel["targets"], answers, strict=True):
        column = f"Value #{target['refId']}" if len(answers) > 1 else "Value"
        for each in answer:
            labels, value = each["metric"], float(each["value"][1])
            same = [row for row in rows if all(row.get(key, name) == name for key, name in labels.items())]
            rows += [] if same else [dict(labels)]
            for row in same or rows[-1:]:
                row[column] = format_value(value, units.get(titles.get(column, ""), "short"))
    cells = [[row.get(name, "") for name in titles] for row in rows[:10]]
    axes.table(cells or [[""] * len(titles)], colLabels=[*titles.values()], loc="upper center")


DRAW = {
    "timeseries": draw_lines,
    "state-timeline": draw_states,
    "heatmap": draw_heat_map,
    "stat": draw_number,
    "bargauge": draw_bars,
    "barchart": draw_bars,
}


def convert_colour(name: str) -> str:
    """Convert a colour of Grafana to one of matplotlib."""
    return {"yellow": "gold", "transparent": "none"}.get(name, name if "#" in name else f"tab:{name}")


def format_value(value: float, unit: str) -> str:
    """Format a number in its unit, short enough for a tick."""
    if not math.isfinite(value):
        return "–"
    if unit == "percentunit":
        return f"{100 * value:.3g} %"
    if unit == "dateTimeAsIso":
        return datetime.fromtimestamp(value / 1000).strftime("%H:%M:%S")
    if unit in ("s", "bytes") or abs(value) >= 1000:
        return EngFormatter(UNITS.get(unit, ""), places=1)(value)
    return f"{value:.3g} {UNITS.get(unit, unit.removeprefix('suffix:') if ':' in unit else '')}".rstrip()


def format_time(axes: Axes, times: NDArray[np.float64]) -> None:
    """Mark full minutes on the horizontal axis."""
    axes.set_xlim(times[0], times[-1])
    ticks = np.arange(math.ceil(times[0] / 120) * 120, times[-1], 120)
    axes.set_xticks(ticks, [datetime.fromtimestamp(tick).strftime("%H:%M") for tick in ticks])
