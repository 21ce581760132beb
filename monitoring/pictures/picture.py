"""A dashboard as one picture: panels at their places on Grafana's grid, drawn from Prometheus' answers."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from monitoring.pictures.answers import Answer, Series, rows_of, series_of
from monitoring.pictures.at_once import draw_groups, draw_number, draw_ranking, draw_table
from monitoring.pictures.legend import legend_of
from monitoring.pictures.look import FAINT, PAGE, PANEL, TEXT, Palette
from monitoring.pictures.over_time import draw_heat, draw_lines, draw_states, draw_time
from monitoring.pictures.page import DPI, GAP, HEAD, WIDTH, Page, Phase, draw_head
from monitoring.pictures.panels import Panel, Query, Values, panels_of, replaced

UNIT, LINE = 33, 16  # pixels of a unit of Grafana's grid, and of a line of a legend
Ask = Callable[[Query], Answer]


def draw(
    dashboard: Mapping[str, Any], values: Values, times: NDArray[np.float64], ask: Ask, rows: Sequence[str],
    story: Sequence[Phase],
) -> Figure:  # fmt: skip
    """These rows (by title) of a dashboard; `ask` has Prometheus' answers at `times` (Unix seconds)."""
    panels = chosen(list(panels_of(dashboard, values)), rows)
    height = HEAD + UNIT * max(panel.at[1] + panel.at[3] for panel in panels) + GAP
    figure = Figure(figsize=(WIDTH / DPI, height / DPI), dpi=DPI, facecolor=PAGE)
    marks = Query("", replaced(dashboard["annotations"]["list"][0]["expr"], values), "", instant=False)
    page = Page(figure, height, times, ask, Palette(values["modality"]))
    page.marks = [
        float(each.times[np.isfinite(each.values)][0]) for each in series_of(marks, ask(marks), times)
    ]
    draw_head(page, dashboard["title"], story)
    for panel in panels:
        draw_panel(page, panel)
    return figure


def chosen(panels: Sequence[Panel], rows: Sequence[str]) -> list[Panel]:
    """The panels of these rows, moved up to where the rows left out had been."""
    kept: list[Panel] = []
    shift, is_kept, begun = 0, False, 0
    for panel in sorted(panels, key=lambda panel: (panel.at[1], panel.at[0])):
        x, y, w, h = panel.at
        if panel.kind == "row":
            shift += 0 if is_kept else y - begun
            is_kept, begun = panel.title in rows, y
        if is_kept:
            kept.append(replace(panel, at=(x, y - shift, w, h)))
    return kept


def draw_panel(page: Page, panel: Panel) -> None:
    x, y, w, h = panel.at
    left, top = GAP + x * (WIDTH - GAP) / 24, HEAD + y * UNIT
    width, height = w * (WIDTH - GAP) / 24 - GAP, h * UNIT - GAP
    if panel.kind == "row":
        page.text(left + 4, top + UNIT / 2, f"⌄  {panel.title}", color=TEXT, fontsize=11, fontweight="bold")
        return
    page.box(left, top, width, height, PANEL, "#25272c")
    page.text(left + 10, top + 15, panel.title, color=TEXT, fontsize=9.5, fontweight="bold")
    answers = [page.ask(query) for query in panel.queries]
    inside = (left, top + 30, width, height - 30)
    if panel.kind == "table":
        axes = page.axes(left + 12, top + 30, width - 24, height - 40)
        draw_table(axes, panel, rows_of(panel, answers), most_rows=int((height - 40) / 21) - 1)
        return
    series = [
        each
        for query, answer in zip(panel.queries, answers, strict=True)
        for each in series_of(query, answer, page.times)
    ]
    if not series:
        page.text(left + width / 2, top + height / 2, "No data", color=FAINT, fontsize=10, ha="center")
    elif panel.kind == "timeseries":
        draw_timeseries(page, panel, series, inside)
    else:
        PLAIN[panel.kind](page, panel, series, inside)


Box = tuple[float, float, float, float]  # left, top, width, height in pixels


def draw_timeseries(page: Page, panel: Panel, series: Sequence[Series], box: Box) -> None:
    left, top, width, height = box
    lines = legend_of(panel, series, width - 24, page.palette)
    axes = page.axes(left + 56, top + 4, width - 70, height - 30 - LINE * len(lines))
    draw_lines(axes, panel, series, page.palette)
    draw_marks(page, axes)
    for number, items in enumerate(lines):
        for at, ink, text, align in items:
            style = {"color": ink, "ha": align, "fontsize": 9 if text == "●" else 8}
            page.text(left + 12 + at, top + height - LINE * (len(lines) - number - 0.25), text, **style)


def draw_marks(page: Page, axes: Axes) -> None:
    draw_time(axes, float(page.times[0]), float(page.times[-1]))
    for mark in page.marks:
        axes.axvline(mark, color="#b877d9", linewidth=0.9, linestyle=(0, (3, 3)))


def state_panel(page: Page, panel: Panel, series: Sequence[Series], box: Box) -> None:
    left, top, width, height = box
    axes = page.axes(left + 78, top + 4, width - 94, height - 28)
    draw_states(axes, panel, series)
    draw_time(axes, float(page.times[0]), float(page.times[-1]))


def heat_panel(page: Page, panel: Panel, series: Sequence[Series], box: Box) -> None:
    left, top, width, height = box
    axes = page.axes(left + 56, top + 4, width - 70, height - 30)
    draw_heat(axes, panel, series)
    draw_marks(page, axes)


def number_panel(page: Page, panel: Panel, series: Sequence[Series], box: Box) -> None:
    left, top, width, height = box
    draw_number(page.axes(left + 1, top - 2, width - 2, height + 1), panel, series)


def ranking_panel(page: Page, panel: Panel, series: Sequence[Series], box: Box) -> None:
    left, top, width, height = box
    names = 14 + 5.6 * max(len(each.name) for each in series)
    draw_ranking(page.axes(left + names, top + 4, width - names - 12, height - 14), panel, series)


def groups_panel(page: Page, panel: Panel, series: Sequence[Series], box: Box) -> None:
    left, top, width, height = box
    draw_groups(page.axes(left + 56, top + 4, width - 70, height - 32), panel, series, page.palette)


PLAIN: dict[str, Callable[[Page, Panel, Sequence[Series], Box], None]] = {
    "state-timeline": state_panel,
    "heatmap": heat_panel,
    "stat": number_panel,
    "bargauge": ranking_panel,
    "barchart": groups_panel,
}
