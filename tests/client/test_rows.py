"""Rows of tables, typed or as a .csv has them, as samples."""

from pathlib import Path
from typing import Any

import pytest
from tailfuse_client import ModelInfo, inputs_of_row

MODALITIES: dict[str, Any] = {
    "image": {"kind": "image", "column": "picture"},
    "clinical": {
        "kind": "tabular",
        "columns": [
            {"name": "age", "type": "number"},
            {"name": "smoker", "type": "boolean"},
            {"name": "zone", "type": "category"},
        ],
    },
    "notes": {"kind": "text", "columns": ["title", "review"]},
    "title": {"kind": "text", "columns": ["title"]},
    "gait": {"kind": "series", "columns": ["trace"]},
    "turns": {"kind": "series", "columns": ["x", "y"]},
}
MODEL = ModelInfo("m", "1", "label", (), MODALITIES, {}, {}, "onnx", "cpu")


@pytest.mark.parametrize(
    ("row", "inputs"),
    [
        ({"age": "61", "zone": "3", "label": "a"}, {"clinical": {"age": 61.0, "smoker": None, "zone": "3"}}),
        ({"age": 61, "smoker": True, "zone": 3.0}, {"clinical": {"age": 61, "smoker": True, "zone": 3}}),
        ({"age": "old", "smoker": "TRUE"}, {"clinical": {"age": "old", "smoker": True, "zone": None}}),
        ({"smoker": "maybe"}, {"clinical": {"age": None, "smoker": "maybe", "zone": None}}),
        ({"smoker": 0.0}, {"clinical": {"age": None, "smoker": False, "zone": None}}),
        ({"age": "NA", "smoker": "", "zone": float("nan")}, {}),
        ({"picture": "a.jpg"}, {"image": Path("data/a.jpg")}),
        ({"picture": b"\xff"}, {"image": b"\xff"}),
        ({"title": "spot"}, {"notes": {"title": "spot", "review": None}, "title": "spot"}),
        ({"title": 7}, {"notes": {"title": "7", "review": None}, "title": "7"}),
        ({"trace": "[1, null]"}, {"gait": [1, None]}),
        ({"trace": "a.wav"}, {"gait": Path("data/a.wav")}),
        ({"x": "[1, 2]", "y": None}, {"turns": {"x": [1, 2], "y": None}}),
        ({}, {}),
    ],
)  # fmt: skip
def test_a_row_has_the_modalities_that_are_in_it(row: dict[str, Any], inputs: dict[str, Any]) -> None:
    assert inputs_of_row(row, MODEL, "data") == inputs
