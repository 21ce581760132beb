"""Panels with time on the horizontal axis: lines, states, heat maps."""

import math
from collections.abc import Sequence
from datetime import datetime

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, PowerNorm
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import NDArray

from monitoring.pictures.answers import Series
from monitoring.pictures.look import (
    FAINT,
    GRID,
    PANEL,
    TEXT,
    Palette,
    colour,
    colour_of,
    properties,
    step_colour,
    written,
)
from monitoring.pictures.panels import Panel

HEAT = LinearSegmentedColormap.from_list("heat", [PANEL, "#5a2c0c", "#c4500a", "#ff9830", "#ffe2b0"])


def draw_lines(axes: Axes, panel: Panel, series: Sequence[Series], palette: Palette) -> None:
    custom = panel.defaults["custom"]
    stacked = custom.get("stacking", {}).get("mode") == "normal"
    faint = 0.5 if custom["gradientMode"] == "opacity" else 1
    floor = np.zeros(0)
    by_name = {each.name: each for each in series}
    for each in series:
        said = properties(panel, each.name)
        ink = colour_of(panel, each.name, palette)
        width = said.get("custom.lineWidth", custom["lineWidth"])
        fill = said.get("custom.fillOpacity", custom["fillOpacity"]) / 100
        dash = (0, (4, 3)) if "custom.lineStyle" in said else "solid"
        values = each.values
        if stacked:
            floor = floor if len(floor) else np.zeros(len(values))
            top = floor + np.nan_to_num(values)
            axes.fill_between(each.times, floor, top, color=ink, alpha=fill, linewidth=0)
            floor = values = top
        elif (below := by_name.get(said.get("custom.fillBelowTo", ""))) is not None:
            axes.fill_between(each.times, below.values, values, color=ink, alpha=fill, linewidth=0)
        elif fill:
            axes.fill_between(each.times, 0, values, color=ink, alpha=faint * fill, linewidth=0)
        axes.plot(
            each.times, values, color=ink, linewidth=0.75 * width, linestyle=dash, solid_joinstyle="round"
        )
    limit(axes, panel, series)
    for step in panel.defaults.get("thresholds", {}).get("steps", []):
        if step["value"] is not None and "thresholdsStyle" in custom:
            axes.axhline(
                step["value"], color=colour(step["color"]), linewidth=1, linestyle=(0, (5, 4)), alpha=0.8
            )
    unit, decimals = panel.defaults["unit"], panel.defaults.get("decimals")
    axes.set_axisbelow(True)
    axes.yaxis.set_major_locator(MaxNLocator(4, integer=decimals == 0))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda number, _: written(number, unit, decimals)))
    axes.grid(axis="y", color=GRID, linewidth=0.7)


def limit(axes: Axes, panel: Panel, series: Sequence[Series]) -> None:
    """The vertical axis: from 0 to what the panel says, or to what there is."""
    custom = panel.defaults["custom"]
    _, top = axes.get_ylim()
    most = max([each.most for each in series], default=1.0)
    top = panel.defaults.get("max", max(top, custom.get("axisSoftMax", 0), 1.05 * most))
    axes.set_ylim(0, top or 1)


def draw_states(axes: Axes, panel: Panel, series: Sequence[Series]) -> None:
    steps = panel.defaults["thresholds"]["steps"]
    names = {
        float(number): text["text"]
        for mapping in panel.defaults.get("mappings", [])
        for number, text in mapping["options"].items()
    }
    for place, each in enumerate(reversed(series)):
        step_s = float(np.median(np.diff(each.times)))
        for start, end, value in runs(each, steps):
            axes.barh(
                place,
                end - start + step_s,
                left=start,
                height=0.8,
                color=step_colour(steps, value),
                alpha=0.9,
            )
            if names and end - start > 0.05 * (each.times[-1] - each.times[0]):
                axes.text(start + 3, place, names[value], color="#111217", fontsize=7.5, va="center")
    axes.set_yticks(range(len(series)), [each.name for each in reversed(series)])
    axes.tick_params(axis="y", labelsize=8, labelcolor=TEXT)
    axes.set_ylim(-0.6, len(series) - 0.4)


def runs(series: Series, steps: Sequence[dict[str, float | str]]) -> list[tuple[float, float, float]]:
    """From when to when one colour lasts, and the first value of it."""
    found: list[tuple[float, float, float]] = []
    colour_before = ""
    for time, value in zip(series.times, series.values, strict=True):
        ink = step_colour(steps, value) if math.isfinite(value) else ""
        if ink and ink == colour_before:
            start, _, first = found.pop()
            found.append((start, time, first))
        elif ink:
            found.append((time, time, value))
        colour_before = ink
    return found


def draw_heat(axes: Axes, panel: Panel, series: Sequence[Series]) -> None:
    ordered = sorted(series, key=lambda each: float(each.labels["le"]))
    edges = [float(each.labels["le"]) for each in ordered]
    cumulated = np.array([np.nan_to_num(each.values) for each in ordered])
    counts = np.diff(cumulated, axis=0, prepend=0.0)  # (edges, times)
    shown = [row for row, count in enumerate(counts) if count.sum() > 0 or math.isfinite(edges[row])]
    rows = range(min(shown), last_of(counts) + 1)
    axes.pcolormesh(
        ordered[0].times, np.arange(len(rows)), counts[list(rows)], cmap=HEAT, shading="nearest",
        norm=PowerNorm(0.5, 0, max(float(counts.max()), 1e-9)), rasterized=True,
    )  # fmt: skip
    unit = panel.options["yAxis"]["unit"]
    every = max(1, len(rows) // 6)
    axes.set_yticks(
        [row - 0.0 for row in range(0, len(rows), every)],
        [written(edges[rows[row]], unit) for row in range(0, len(rows), every)],
    )


def last_of(counts: NDArray[np.float64]) -> int:
    """The highest bucket that ever held anything."""
    return int(np.flatnonzero(counts.sum(1) > 0)[-1])


def draw_time(axes: Axes, start: float, end: float) -> None:
    """The horizontal axis, by the clock."""
    axes.set_xlim(start, end)
    every = 60 if end - start < 700 else 300
    ticks = np.arange(math.ceil(start / every) * every, end, every)
    axes.set_xticks(ticks, [datetime.fromtimestamp(tick).strftime("%H:%M") for tick in ticks])
    axes.tick_params(axis="x", labelsize=7, labelcolor=FAINT, length=0)
