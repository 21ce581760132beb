"""Charts of the dashboards for the docs: expanded panels, values from Prometheus' answers, units."""

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image

from monitoring.charts.draw import draw_dashboard, format_value, name_states, read_series
from monitoring.charts.panels import expand_panels, replace_variables
from monitoring.dashboards.__main__ import DASHBOARDS, files
from tests.support.monitoring.charts import DOCS, ROWS

VALUES = {"modality": ["image", "notes"], "model": "m", "__range": "60s"}
ROW: dict[str, Any] = {"type": "row", "title": "Of $modality", "gridPos": {"x": 0, "y": 0, "w": 24, "h": 1}}
PANEL: dict[str, Any] = {
    "type": "stat", "title": "$modality", "gridPos": {"x": 0, "y": 1, "w": 8, "h": 4},
    "targets": [{"refId": "A", "expr": 'x{modality=~"$modality"}[$__range]', "instant": True}],
}  # fmt: skip


def test_variables_are_replaced_several_values_as_a_regular_expression() -> None:
    replaced = replace_variables(['{a=~"$modality"}[$__range] $1 $none'], VALUES)
    assert replaced == ['{a=~"image|notes"}[60s] $1 $none']
    assert replace_variables("$instance", {"instance": ["127.0.0.1:80"]}) == r"127\\.0\\.0\\.1:80"


def test_a_row_is_repeated_for_each_value_and_the_next_rows_move_down() -> None:
    after = {**ROW, "title": "after", "gridPos": {**ROW["gridPos"], "y": 5}}
    dashboard = {"panels": [{**ROW, "repeat": "modality"}, PANEL, after]}
    panels = expand_panels(dashboard, VALUES)
    assert [(panel["title"], panel["gridPos"]["y"]) for panel in panels] == [
        ("Of image", 0), ("image", 1), ("Of notes", 5), ("notes", 6), ("after", 10),
    ]  # fmt: skip
    assert panels[3]["targets"][0]["expr"] == 'x{modality=~"notes"}[60s]'
    chosen = expand_panels(dashboard, VALUES, ["Of notes", "after"])
    assert [(panel["title"], panel["gridPos"]["y"]) for panel in chosen] == [
        ("Of notes", 0), ("notes", 1), ("after", 5),
    ]  # fmt: skip


def test_series_have_gaps_where_there_was_no_answer() -> None:
    answer = [
        {"metric": {"a": "x"}, "values": [[0, "1"], [2, "NaN"], [3, "4"]]},
        {"metric": {"a": "y"}, "values": [[0, "NaN"]]},
    ]
    (series,) = read_series({"legendFormat": "is {{a}}"}, answer, np.arange(4.0))
    assert series.name == "is x"
    assert np.array_equal(series.values, [1, math.nan, math.nan, 4], equal_nan=True)
    assert series.last == 4


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.0123, "percentunit", "1.23 %"), (0.25, "percentunit", "25 %"), (0.0021, "s", "2.1 ms"),
        (3e-7, "s", "300.0 ns"), (0, "s", "0.0 s"), (3e6, "bytes", "3.0 MB"), (1234, "short", "1.2 k"),
        (12.3, "reqps", "12.3 req/s"), (0.5, "suffix: cores", "0.5  cores"), (math.nan, "s", "–"),
    ],
)  # fmt: skip
def test_numbers_are_formatted_in_their_units(value: float, unit: str, text: str) -> None:
    assert format_value(value, unit) == text


@pytest.mark.parametrize("name", DASHBOARDS)
def test_every_panel_is_drawn_with_and_without_answers(name: str) -> None:
    values = dict.fromkeys(("model", "version", "instance", "modality", "window"), "x")
    panels = expand_panels(json.loads(files()[f"{name}.json"]), values)
    times = np.arange(0.0, 600.0, 10.0)
    labels = {"label": "cat", "version": "1", "le": "0.5", "modality": "image", "__name__": "x"}

    def answer(target: dict[str, Any]) -> list[dict[str, Any]]:
        if target.get("instant"):
            return [{"metric": labels, "value": [590.0, "3"]}]
        return [{"metric": labels, "values": [[time, "2"] for time in times]}]

    asks: list[Callable[[dict[str, Any]], list[dict[str, Any]]]] = [answer, lambda _: []]
    for ask in asks:
        figure = draw_dashboard(name, panels, times, ask, [(0.0, "all is well", "tab:green")])
        drawn = {text for axes in figure.axes if (text := axes.get_title(loc="left"))}
        assert drawn == {panel["title"] for panel in panels if panel["type"] != "row"}


def test_the_colours_of_a_band_have_names() -> None:
    panels = [panel for text in files().values() for panel in json.loads(text)["panels"]]
    bands = {panel["title"]: panel for panel in panels if panel["type"] == "state-timeline"}
    assert name_states(bands["Roles"], [2, 3, 4]) == ["stable", "canary", "shadow", "none"]
    assert name_states(bands["Worst input drift"], [0.1, 0.25]) == ["< 0.1", "≥ 0.1", "≥ 0.25"]


@pytest.mark.parametrize("name", DASHBOARDS)
def test_the_docs_show_an_image_of_each_dashboard(name: str) -> None:
    file = DOCS / f"{name}.png"
    assert file.stat().st_size < 200_000
    with Image.open(file) as image:
        assert image.width == 1500
    assert f"](monitoring/{name}.png)" in (DOCS.parent / "MONITORING.md").read_text()


@pytest.mark.parametrize("name", ROWS)
def test_the_drawn_rows_are_rows_of_the_dashboard(name: str) -> None:
    titles = {panel.title or "" for panel in DASHBOARDS[name]().panels or []}
    drawn = {title.replace("image", "$modality") for title in ROWS[name]}
    assert drawn <= titles
