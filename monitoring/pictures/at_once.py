"""Panels that show one moment: numbers, rankings, tables, groups of bars."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, MaxNLocator

from monitoring.pictures.answers import Row, Series
from monitoring.pictures.look import COLOURS, FAINT, GRID, TEXT, Palette, properties, step_colour, written
from monitoring.pictures.panels import Panel


def draw_number(axes: Axes, panel: Panel, series: Sequence[Series]) -> None:
    """The last value, and what it was before as a shade below."""
    axes.axis("off")
    number = series[0].last if series else math.nan
    ink = step_colour(panel.defaults["thresholds"]["steps"], number)
    filled = panel.options["colorMode"].startswith("background")
    if filled:
        axes.set_facecolor(ink)
        axes.patch.set_visible(True)
        axes.add_patch(Rectangle((0, 0), 1, 1, transform=axes.transAxes, color=ink, alpha=0.85, linewidth=0))
    elif panel.options["graphMode"] == "area" and series and len(series[0].times) > 1:
        times, values = series[0].times, np.nan_to_num(series[0].values)
        axes.fill_between(times, 0, values, color=ink, alpha=0.18, linewidth=0)
        axes.plot(times, values, color=ink, linewidth=1)
        axes.set_ylim(0, 2.6 * max(float(values.max()), 1e-9))
        axes.set_xlim(times[0], times[-1])
    axes.text(
        0.5, 0.62 if not filled else 0.5, written(number, panel.defaults["unit"]), transform=axes.transAxes,
        ha="center", va="center", fontsize=19, fontweight="bold", color="#ffffff" if filled else ink,
    )  # fmt: skip


def draw_ranking(axes: Axes, panel: Panel, series: Sequence[Series]) -> None:
    """A bar for each; the longest is the greatest."""
    steps, unit = panel.defaults["thresholds"]["steps"], panel.defaults["unit"]
    most = max([each.last for each in series], default=1.0) or 1.0
    for place, each in enumerate(reversed(series)):
        ink = step_colour(steps, each.last)
        axes.barh(place, 1, height=0.72, color=GRID)
        axes.barh(place, max(each.last / most, 0.004), height=0.72, color=ink)
        axes.text(
            1.02, place, written(each.last, unit), color=ink, fontsize=8, va="center", fontweight="bold"
        )
    axes.set_yticks(range(len(series)), [each.name for each in reversed(series)])
    axes.tick_params(axis="y", labelsize=7.5, labelcolor=TEXT)
    axes.set_xticks([])
    axes.set_xlim(0, 1.16)


def draw_groups(axes: Axes, panel: Panel, series: Sequence[Series], palette: Palette) -> None:
    """Bars in groups: rows and columns as the panel's transformation says."""
    (matrix,) = [each["options"] for each in panel.transformations if each["id"] == "groupingToMatrix"]
    rows = sorted({each.labels[matrix["rowField"]] for each in series})
    columns = sorted({each.labels[matrix["columnField"]] for each in series})
    values = {
        (each.labels[matrix["rowField"]], each.labels[matrix["columnField"]]): each.last for each in series
    }
    width = 0.8 / len(columns)
    for place, column in enumerate(columns):
        heights = [values.get((row, column), 0.0) for row in rows]
        at = np.arange(len(rows)) + (place - (len(columns) - 1) / 2) * width
        axes.bar(at, heights, 0.92 * width, color=palette.of(f"{matrix['columnField']} {column}"), alpha=0.9)
    axes.set_xticks(range(len(rows)), rows)
    axes.tick_params(axis="x", labelsize=8, labelcolor=TEXT, length=0)
    axes.yaxis.set_major_locator(MaxNLocator(4))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda number, _: written(number, panel.defaults["unit"])))
    axes.grid(axis="y", color=GRID, linewidth=0.7)
    axes.set_axisbelow(True)


def draw_table(axes: Axes, panel: Panel, rows: Sequence[Row], most_rows: int) -> None:
    """Columns in the order and under the names that the panel gives them."""
    axes.axis("off")
    axes.set_xlim(0, 1)
    axes.set_ylim(most_rows + 1, 0)
    (organize,) = [each["options"] for each in panel.transformations if each["id"] == "organize"]
    there = {name for row in rows for name in row} & set(organize["renameByName"])
    columns = sorted(there, key=lambda name: organize["indexByName"][name])
    left = np.linspace(0, 1, len(columns) + 1)[:-1]
    for x, column in zip(left, columns, strict=True):
        title = organize["renameByName"][column]
        axes.text(x, 0.5, title, color=COLOURS["blue"], fontsize=8, va="center", fontweight="bold")
        for line, row in enumerate(rows[:most_rows]):
            draw_cell(axes, panel, title, row.get(column, math.nan), x, line + 1, 0.92 / len(columns))
    for line in range(min(len(rows), most_rows) + 1):
        axes.axhline(line + 1, color=GRID, linewidth=0.7)


def draw_cell(
    axes: Axes, panel: Panel, title: str, cell: str | float, x: float, line: int, width: float
) -> None:
    if isinstance(cell, str):
        axes.text(x, line + 0.5, cell, color=TEXT, fontsize=8, va="center")
        return
    said = properties(panel, title)
    kind = said.get("custom.cellOptions", {}).get("type")
    text = written(cell, said.get("unit", "short"), said.get("decimals"))
    ink = TEXT
    if kind == "gauge" and math.isfinite(cell):
        axes.add_patch(Rectangle((x, line + 0.25), 0.6 * width, 0.5, color=GRID, linewidth=0))
        axes.add_patch(
            Rectangle((x, line + 0.25), 0.6 * width * min(cell, 1), 0.5, color=COLOURS["blue"], linewidth=0)
        )
        axes.text(x + 0.66 * width, line + 0.5, text, color=COLOURS["blue"], fontsize=8, va="center")
        return
    if kind == "color-text" and math.isfinite(cell):
        ink = step_colour(said["thresholds"]["steps"], cell)
    axes.text(x, line + 0.5, text, color=ink if math.isfinite(cell) else FAINT, fontsize=8, va="center")
