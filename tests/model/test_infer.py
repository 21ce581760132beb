"""What a column holds is inferred from all of its cells, and read by the rule that serving has."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tailfuse.data.infer_schema import infer_schema
from tailfuse.errors import TableError
from tailfuse.files.cells import to_booleans, to_numbers, to_strings, type_cells
from tailfuse.files.infer import infer_column
from tailfuse.files.reading import DEFAULT_READING, make_reading
from tailfuse.files.table import read_table
from tailfuse.modalities.tabular.fit import fit_columns
from tailfuse_service.modalities.tabular import NumberColumn
from tailfuse_service.modalities.tabular.spelling import NumberFormat, parse_boolean, parse_number, spell

FORMATS = [
    NumberFormat(),
    NumberFormat(decimal=","),
    NumberFormat(decimal=",", thousands=".", unit="€"),
    NumberFormat(thousands=",", unit="$"),
    NumberFormat(unit="%"),
]
texts = st.text(
    st.sampled_from("0123456789+-.,eE_ $€%'naiftrue\u0661\u00a0\u202f\u2019\u2212"), max_size=12
) | st.floats().map(str)


@given(st.lists(texts | st.none(), max_size=20), st.sampled_from(FORMATS))
def test_a_column_is_read_as_its_cells_are(cells: list[str | None], style: NumberFormat) -> None:
    column = pl.Series("x", cells, dtype=pl.String)
    numbers = [None if cell is None else parse_number(cell, style) for cell in cells]
    assert to_numbers(column, style).to_list() == numbers
    assert to_booleans(column).to_list() == [None if cell is None else parse_boolean(cell) for cell in cells]


@given(st.lists(st.integers(-(2**62), 2**62) | st.none()) | st.lists(st.booleans()) | st.lists(st.text()))
def test_values_are_spelled_as_one_value_is(values: list[Any]) -> None:
    strings = to_strings(pl.Series("x", values, strict=False)).to_list()
    if not any(isinstance(value, str) for value in values):
        assert strings == [None if value is None else spell(value) for value in values]


@pytest.mark.parametrize(
    ("cells", "expected", "style"),
    [
        (["1", "2.5", None, "1e3"], "number", NumberFormat()),
        (["True", "FALSE", None], "boolean", NumberFormat()),
        (["1", "0"], "number", NumberFormat()),
        (["true", "yes"], "category", NumberFormat()),
        (["7,25", "8", "10,5"], "number", NumberFormat(decimal=",")),
        (["1.234,5", "8", "10,5"], "number", NumberFormat(decimal=",", thousands=".")),
        (["1,234.5", "8"], "number", NumberFormat(thousands=",")),
        (["1 234", "8"], "number", NumberFormat(thousands=" ")),
        (["$5", "$1,200.50"], "number", NumberFormat(thousands=",", unit="$")),
        (["5 %", "12%"], "number", NumberFormat(unit="%")),
        (["1.234,50 €", "2,00 €"], "number", NumberFormat(decimal=",", thousands=".", unit="€")),
        (["1\u00a0234", "8", "12\u00a0000"], "number", NumberFormat(thousands=" ")),
        (["1\u202f234,5", "2\u202f000,25"], "number", NumberFormat(decimal=",", thousands=" ")),
        (["1\u2009234.5", "8"], "number", NumberFormat(thousands=" ")),
        (["1\u2019234.50", "2\u2019000.75"], "number", NumberFormat(thousands="'")),
        (["\u22125", "3", "\u22122.5"], "number", NumberFormat()),
        (["\u2212$5", "$7"], "number", NumberFormat(unit="$")),
        (["01234", "90210"], "category", NumberFormat()),
        (["001", "12"], "category", NumberFormat()),
        (["07.25", *(f"{n}.5" for n in range(1, 30))], "number", NumberFormat()),
        (["red", "green", "3"], "category", NumberFormat()),
        (["9" * 42, "1"], "number", NumberFormat()),
        ([None, None], "category", NumberFormat()),
        (["2020-01-01", "2021-05-03"], "category", NumberFormat()),
        (["1-2", "3-4"], "category", NumberFormat()),
    ],
)
def test_a_columns_type_is_inferred(cells: list[str], expected: str, style: NumberFormat) -> None:
    inferred = infer_column(pl.Series("x", cells, dtype=pl.String))
    assert (inferred.type, inferred.style) == (expected, style)
    assert inferred.odd_row is None


def test_a_number_that_may_be_two_is_asked_about() -> None:
    prices = pl.Series("price", ["1,500", "2,250", "900"])
    with pytest.raises(TableError) as caught:
        infer_column(prices)
    assert str(caught.value).startswith(
        "column 'price': '1,500' may be 1500 or 1.5; say which, as in `decimal:"
    )
    assert infer_column(prices, ",").style == NumberFormat(decimal=",")
    assert infer_column(prices, ".").style == NumberFormat(thousands=",")


GERMAN, ENGLISH = NumberFormat(decimal=",", thousands="."), NumberFormat()


@pytest.mark.parametrize(
    "cells",
    [
        ["1.500", "2.250", "900"],
        ["-1.500", "20", None],
        ["999.999", "+1", "1.000"],
        ["1.500", "20", "30", "ask"],
        ["1.500 €", "2.000 €"],
    ],
)
def test_points_that_may_group_thousands_are_asked_about(cells: list[str | None]) -> None:
    column = pl.Series("price", cells)
    with pytest.raises(TableError, match=r"may be -?[\d.]+ or -?\d+; say which, as in `decimal: ','`"):
        infer_column(column)
    unit = "€" if "€" in str(cells) else ""
    assert infer_column(column, ",").style == GERMAN.model_copy(update={"unit": unit})
    assert infer_column(column, ".").style == ENGLISH.model_copy(update={"unit": unit})


@pytest.mark.parametrize(
    ("cells", "decimal", "style"),
    [
        (["1.500", "2.250"], None, ENGLISH),  # nothing tells of groups
        (["1.500", "2.250"], ",", GERMAN),
        (["1.500", "0.250", "7"], None, ENGLISH),
        (["1.500", "2.25", "7"], None, ENGLISH),
        (["1.500", "2000"], None, ENGLISH),
        (["1.5", "2.25"], ",", ENGLISH),
        (["5", "9"], ",", ENGLISH),
        (["1.500", "1.234.567", "9"], None, GERMAN),
    ],
)
def test_points_mean_what_the_column_or_the_spec_tells(
    cells: list[str], decimal: Any, style: NumberFormat
) -> None:
    assert infer_column(pl.Series("x", cells), decimal).style == style


def test_decimal_commas_of_one_column_cast_doubt_on_the_points_of_another(tmp_path: Path) -> None:
    rows = [f"{at % 2};{at},5;{at + 1}.125;{at}.5;{at}" for at in range(1, 41)]
    path = tmp_path / "table.csv"
    path.write_text("label;size;cost;share;count\n" + "\n".join(rows) + "\n")
    table = read_table(path)
    names = table.columns[1:]
    with pytest.raises(TableError, match=r"column 'cost': '2\.125' may be 2\.125 or 2125"):
        fit_columns("m", names, {}, table, np.arange(40), DEFAULT_READING)
    fitted = fit_columns("m", names, {}, table, np.arange(40), make_reading({"decimal": ","}))
    assert [each.format for each in fitted.columns if isinstance(each, NumberColumn)] == [
        NumberFormat(decimal=","), GERMAN, ENGLISH, ENGLISH,
    ]  # fmt: skip
    assert "may be 2.125 or 2125" in infer_schema(table, path.parent, "label").left_out["cost"]
    fit_columns("m", names, {"cost": "category"}, table, np.arange(40), DEFAULT_READING)


@pytest.mark.parametrize(
    ("cells", "note"),
    [
        (["2021-03-04", "2021-03-05"], "its values are dates or times, such as '2021-03-04', and later ones"),
        (
            ["12:30", None, "07:15"],
            "its values are dates or times, such as '12:30', and later ones are unknown",
        ),
        (
            ["5 kg", "6 kg", "7.5 kg"],
            "its values are quantities with the unit 'kg', such as '5 kg', and other",
        ),
        (['5"', '6"', '7"'], "its values are quantities with the unit '\"'"),
        (["3A", "12B", "7C"], None),
        (["1st", "2nd", "3rd"], None),
        (["500 g", "1000 g"], None),
        (["red", "blue"], None),
    ],
)
def test_dates_and_quantities_are_categories_with_a_note(cells: list[str | None], note: str | None) -> None:
    inferred = infer_column(pl.Series("x", cells))
    assert inferred.type == "category"
    assert inferred.note is None if note is None else (inferred.note or "").startswith(note)


def test_a_date_among_the_columns_is_warned_of_unless_its_type_is_stated(
    caplog: pytest.LogCaptureFixture,
) -> None:
    table = pl.DataFrame({"day": ["2021-03-04", "2021-03-05"] * 5})
    fit_columns("m", ["day"], {"day": "category"}, table, np.arange(10), DEFAULT_READING)
    assert not caplog.records
    fit_columns("m", ["day"], {}, table, np.arange(10), DEFAULT_READING)
    assert [record.getMessage() for record in caplog.records] == [
        "modality 'm', column 'day': read as a category: its values are dates or times, such as "
        "'2021-03-04', and later ones are unknown categories; add a column with what matters of them, "
        "such as the year, the weekday or an age in days"
    ]


def test_fractions_beside_percentages_are_asked_about() -> None:
    column = pl.Series("share", ["7 %", None, "0.05", "5%"])
    with pytest.raises(TableError) as caught:
        infer_column(column)
    assert str(caught.value) == (
        "column 'share': row 1 is '7 %', but row 3 is '0.05', which may be a fraction; write all with % or "
        "none, or say `types: {share: number}` if it is a percentage"
    )
    table = pl.DataFrame({"share": column})
    fitted = fit_columns("m", ["share"], {"share": "number"}, table, np.arange(4), DEFAULT_READING)
    assert isinstance(fitted.columns[0], NumberColumn)
    assert fitted.columns[0].format == NumberFormat(unit="%")


@pytest.mark.parametrize("cells", [["5%", "0", "7%"], ["5%", "12", "0.5"], ["5%", "0.5%"], ["0.05", "0.5"]])
def test_numbers_that_are_percentages_beyond_doubt_are_read(cells: list[str]) -> None:
    assert infer_column(pl.Series("share", cells)).type == "number"


def test_most_texts_being_numbers_the_others_are_named() -> None:
    inferred = infer_column(pl.Series("x", ["1", None, "2", "3 kg", "4", "?"]))
    assert (inferred.type, inferred.odd_row) == ("number", 3)
    assert inferred.note == "3 of 5 values are numbers, but row 4 is '3 kg'"


def test_cells_that_cannot_be_read_are_named_or_missing() -> None:
    column, rows = pl.Series("x", ["1", "2 kg", "3", "4 kg"]), np.array([0, 2, 3, 1])
    with pytest.raises(TableError, match=r"row 4: here: expected a finite number, not '4 kg' \(2 such"):
        type_cells(column, "number", "here", rows)
    assert type_cells(column, "number", "here", rows, unreadable="missing").to_list() == [
        1.0,
        3.0,
        None,
        None,
    ]
