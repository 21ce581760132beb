"""Dashboards drawn without Grafana: what the docs show is what the queries answered."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from monitoring.dashboards.__main__ import DASHBOARDS
from monitoring.pictures import answers
from monitoring.pictures.look import written
from monitoring.pictures.over_time import runs
from monitoring.pictures.panels import Query, panel_of, panels_of, replaced
from monitoring.pictures.picture import chosen
from tests.support.monitoring.pictures import DOCS, ROWS

VALUES = {"modality": ["image", "notes"], "model": "m", "__range": "60s"}
ROW: dict[str, Any] = {"type": "row", "title": "Of $modality", "gridPos": {"x": 0, "y": 0, "w": 24, "h": 1}}
PANEL: dict[str, Any] = {
    "type": "stat", "title": "$modality", "gridPos": {"x": 0, "y": 1, "w": 8, "h": 4},
    "targets": [{"refId": "A", "expr": 'x{modality=~"$modality"}[$__range]', "instant": True}],
}  # fmt: skip


def test_variables_are_replaced_several_values_as_a_regular_expression() -> None:
    assert replaced('{a=~"$modality"}[$__range] $1 $none', VALUES) == '{a=~"image|notes"}[60s] $1 $none'
    assert replaced("$instance", {"instance": ["127.0.0.1:80"]}) == r"127\\.0\\.0\\.1:80"


def test_a_row_is_repeated_for_each_value_and_what_follows_moves_down() -> None:
    after = {**ROW, "title": "after", "gridPos": {**ROW["gridPos"], "y": 5}}
    dashboard = {"panels": [{**ROW, "repeat": "modality"}, PANEL, after]}
    shown = list(panels_of(dashboard, VALUES))
    assert [(panel.title, panel.at[1]) for panel in shown] == [
        ("Of image", 0), ("image", 1), ("Of notes", 5), ("notes", 6), ("after", 10),
    ]  # fmt: skip
    assert shown[3].queries[0] == Query("A", 'x{modality=~"notes"}[60s]', "", instant=True)


def test_rows_that_are_left_out_leave_no_gap() -> None:
    second = [
        {**each, "gridPos": {**each["gridPos"], "y": each["gridPos"]["y"] + 5}} for each in (ROW, PANEL)
    ]
    second[0] = second[0] | {"title": "second"}
    panels = list(panels_of({"panels": [ROW, PANEL, *second]}, {"modality": "image"}))
    assert [(panel.kind, panel.at[1]) for panel in chosen(panels, ["second"])] == [("row", 0), ("stat", 1)]


def test_answers_to_several_queries_become_one_row_where_their_labels_agree() -> None:
    panel = panel_of(
        {
            "type": "table", "title": "", "gridPos": PANEL["gridPos"],
            "targets": [{"refId": "A", "expr": "a"}, {"refId": "B", "expr": "b"}],
        },
        {},
    )  # fmt: skip
    first = [{"metric": {"label": name, "shot": "few"}, "value": [0, "1"]} for name in ("cat", "dog")]
    second = [{"metric": {"label": "dog"}, "value": [0, "2"]}]
    assert answers.rows_of(panel, [first, second]) == [
        {"label": "cat", "shot": "few", "Value #A": 1.0},
        {"label": "dog", "shot": "few", "Value #A": 1.0, "Value #B": 2.0},
    ]


def test_series_have_a_hole_where_there_was_no_answer() -> None:
    answer = [
        {"metric": {"a": "x"}, "values": [[0, "1"], [2, "NaN"], [3, "4"]]},
        {"metric": {"a": "y"}, "values": [[0, "NaN"]]},
    ]
    (series,) = answers.series_of(Query("A", "", "is {{a}}", instant=False), answer, np.arange(4.0))
    assert series.name == "is x"
    assert np.array_equal(series.values, [1, math.nan, math.nan, 4], equal_nan=True)
    assert (series.last, series.most) == (4, 4)


def test_a_state_lasts_as_long_as_its_colour() -> None:
    steps = [{"value": None, "color": "red"}, {"value": 0.5, "color": "green"}]
    series = answers.Series("", {}, np.arange(5.0), np.array([0.1, 0.2, 0.9, math.nan, 0.8]))
    assert runs(series, steps) == [(0, 1, 0.1), (2, 2, 0.9), (4, 4, 0.8)]


@pytest.mark.parametrize(
    ("number", "unit", "text"),
    [
        (0.0123, "percentunit", "1.2%"), (0.25, "percentunit", "25%"), (0.0021, "s", "2.1 ms"),
        (3e-7, "s", "0.3 µs"), (90, "s", "1.5 min"), (0, "s", "0"), (3 * 2**20, "bytes", "3 MiB"),
        (1234, "short", "1.23k"), (12.3, "reqps", "12.3 req/s"), (0.5, "suffix: cores", "0.5 cores"),
        (math.nan, "s", "–"),
    ],
)  # fmt: skip
def test_numbers_are_written_in_their_units(number: float, unit: str, text: str) -> None:
    assert written(number, unit) == text


@pytest.mark.parametrize("name", DASHBOARDS)
def test_the_docs_have_a_picture_of_each_dashboard(name: str) -> None:
    file = DOCS / f"{name}.png"
    assert file.stat().st_size < 200_000
    with Image.open(file) as picture:
        assert picture.width == 1500
    assert f"](monitoring/{name}.png)" in Path(DOCS.parent / "MONITORING.md").read_text()


@pytest.mark.parametrize("name", ROWS)
def test_the_rows_that_are_drawn_are_rows_of_the_dashboard(name: str) -> None:
    titles = {panel.title or "" for panel in DASHBOARDS[name]().panels or []}
    drawn = {title.replace("image", "$modality") for title in ROWS[name]}
    assert drawn <= titles
