"""Rows of tables, typed or as a .csv has them, as samples."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tailfuse_client import ModelInfo, inputs_of_row
from tailfuse_client.values import encode_value

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
        ({"age": "61", "zone": "3", "label": "a"}, {"clinical": {"age": "61", "smoker": None, "zone": "3"}}),
        ({"age": 61, "smoker": True, "zone": 3.0}, {"clinical": {"age": 61, "smoker": True, "zone": 3.0}}),
        ({"age": "old", "smoker": "TRUE"}, {"clinical": {"age": "old", "smoker": "TRUE", "zone": None}}),
        ({"smoker": "maybe"}, {"clinical": {"age": None, "smoker": "maybe", "zone": None}}),
        ({"smoker": 0.0}, {"clinical": {"age": None, "smoker": 0.0, "zone": None}}),
        ({"age": "NA", "smoker": "", "zone": float("nan")}, {}),
        ({"age": " NA ", "zone": " 3 "}, {"clinical": {"age": None, "smoker": None, "zone": " 3 "}}),
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


def test_a_text_of_a_row_may_look_like_a_path() -> None:
    inputs = inputs_of_row({"title": "a.jpg"}, MODEL)
    assert encode_value(inputs["title"]) == "a.jpg"


def with_missing(missing: list[str] | None, categories: tuple[str, ...] = ()) -> ModelInfo:
    zone = {"name": "zone", "type": "category", "categories": list(categories)}
    tabular = {"kind": "tabular", "columns": [zone], "missing": missing}
    return replace(MODEL, modalities={"clinical": tabular, "title": {"kind": "text", "columns": ["title"]}})


def test_what_is_missing_is_the_models_list() -> None:
    row = {"zone": "NA", "title": "NA"}
    for own in (["-"], []):
        assert inputs_of_row(row, with_missing(own)) == {"clinical": {"zone": "NA"}, "title": "NA"}
    assert inputs_of_row({"zone": "-", "title": "-"}, with_missing(["-"])) == {}
    assert inputs_of_row(row, with_missing(None)) == {}  # an older model does not say


def test_a_known_category_is_never_missing() -> None:
    """Namibia and North America, of a model without a list of its own."""
    assert inputs_of_row({"zone": "NA"}, with_missing(None, categories=("NA", "EU"))) == {
        "clinical": {"zone": "NA"}
    }
