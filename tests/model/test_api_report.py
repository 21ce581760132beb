"""Reports of the Python API: the figures of `tailfuse evaluate`, as frames, HTML, files and a chart."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
import tailfuse
from tailfuse.errors import TableError, UserError

from tests.support.bundles import write_tiny_bundle
from tests.support.command import tailfuse as run_command

LABELS = ["nv", "mel", "bkl", "nv", "mel", None]
FRAME = pd.DataFrame(
    {
        "title": ["a", "b", "c", "d", None, "f"],
        "review": ["spot", "dark spot", None, "itchy", None, "x"],
        "age": [10.0, 20.0, 30.0, None, 50.0, 60.0],
        "pulse": [60, 61, 62, 63, 64, 65],
        "smoker": [True, False, None, True, False, None],
        "site": ["back", "face", None, "back", "knee", None],
        "diagnosis": LABELS,
    }
)


@pytest.fixture
def model(tmp_path: Path) -> "tailfuse.Model":
    return tailfuse.load(write_tiny_bundle(tmp_path / "<bundle>"))


def test_frames_hold_the_figures_by_subset_and_class(model: "tailfuse.Model") -> None:
    report = model.evaluate(FRAME)
    by_subset, by_class = report.by_subset.set_index("subset"), report.by_class.set_index("class")
    assert by_subset.loc["as given", "rows"] == 5
    assert by_subset.loc["image", "rows"] == 0
    assert np.isnan(by_subset.loc["image", "few"])
    assert by_class["rows"].to_dict() == {"nv": 2, "mel": 2, "bkl": 1}
    predicted = model.predict(FRAME[:5])
    assert report.overall.accuracy == (predicted == LABELS[:5]).mean()
    assert by_class.loc["bkl", "recall"] == float(predicted[2] == "bkl")
    assert isinstance(model.evaluate(model.read(FRAME).table).by_subset, pl.DataFrame)


def test_labels_may_come_beside_the_rows(model: "tailfuse.Model") -> None:
    rows = FRAME.drop(columns="diagnosis")
    expected = model.evaluate(FRAME).to_dict()
    frames = pd.DataFrame({"name": LABELS}), pl.DataFrame({"name": LABELS}), np.array([LABELS], object).T
    for y in (LABELS, pd.Series(LABELS), np.array(LABELS, object), pl.Series(LABELS), *frames):
        assert model.evaluate(rows, y).to_dict() == expected
    with pytest.raises(TableError, match="y has 2 labels, and X has 6 rows"):
        model.evaluate(rows, LABELS[:2])
    with pytest.raises(TableError, match="y has 7 columns; expected one"):
        model.evaluate(rows, FRAME)
    with pytest.raises(TypeError, match="y is the text 'diagnosis'; give the label of each row"):
        model.evaluate(FRAME, "diagnosis")
    with pytest.raises(TableError, match="no column 'diagnosis'"):
        model.evaluate(rows)
    with pytest.raises(
        TableError, match=r"row 1: .*'melon' is not a class of this model; did you mean 'mel'"
    ):
        model.evaluate(rows, ["melon", *LABELS[1:]])


def test_a_table_has_the_figures_of_the_command(model: "tailfuse.Model", tmp_path: Path) -> None:
    FRAME.to_csv(tmp_path / "table.csv", index=False)
    report = model.evaluate(tmp_path / "table.csv")
    report.write(tmp_path / "a.json")
    report.write(tmp_path / "a.html")
    run_command("evaluate", tmp_path / "<bundle>", tmp_path / "table.csv", "-o", tmp_path / "b.json")
    for name in ("json", "html"):
        assert (tmp_path / f"a.{name}").read_text() == (tmp_path / f"b.{name}").read_text()
    assert json.loads((tmp_path / "a.json").read_text()) == json.loads(json.dumps(report.to_dict()))
    with pytest.raises(UserError, match=r"is \.html or \.json"):
        report.write(tmp_path / "a.pdf")
    with pytest.raises(TableError, match="part is for the path of a table"):
        model.evaluate(FRAME, part="test")


def test_a_report_is_shown_in_a_notebook_and_drawn(model: "tailfuse.Model") -> None:
    pytest.importorskip("matplotlib").use("agg")
    report = model.evaluate(FRAME)
    shown = report._repr_html_()
    assert shown.startswith("<table><caption>skin-lesions 3 on rows of a frame</caption>")
    assert "<td>as given</td><td>5</td>" in shown
    assert "as given" in repr(report)
    names = [text.get_text() for text in report.plot().get_yticklabels()]
    assert names[:2] == ["image+clinical+notes", "as given"]


def test_values_of_rows_are_on_the_page_only_if_asked(model: "tailfuse.Model", tmp_path: Path) -> None:
    report = model.evaluate(FRAME)
    for rows, numbers, values in (("none", False, False), ("ids", True, False), ("all", True, True)):
        page = report.to_page(rows=rows)  # type: ignore[arg-type]
        assert ("<strong>Row " in page) == numbers, rows
        assert ('<div class="value">' in page) == values, rows
    assert report.to_page() == report.to_page(rows="ids")
    assert report.write(tmp_path / "all.html", rows="all").read_text() == report.to_page(rows="all")
    with pytest.raises(UserError, match="rows: 'some' is none of none, ids, all"):
        report.to_page(rows="some")  # type: ignore[arg-type]
