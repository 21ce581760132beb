"""What a column holds is inferred from all of its cells, and read by the rule that serving has."""

from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tailfuse.errors import TableError
from tailfuse.files.cells import to_booleans, to_numbers, to_strings, type_cells
from tailfuse.files.infer import infer_column
from tailfuse_service.modalities.tabular.spelling import NumberFormat, parse_boolean, parse_number, spell

FORMATS = [
    NumberFormat(),
    NumberFormat(decimal=","),
    NumberFormat(decimal=",", thousands=".", unit="€"),
    NumberFormat(thousands=",", unit="$"),
    NumberFormat(unit="%"),
]
texts = st.text(st.sampled_from("0123456789+-.,eE_ $€%'naiftrue\u0661"), max_size=12) | st.floats().map(str)


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
