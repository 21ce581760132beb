"""A column read at once gives what each of its cells gives in serving, value by value."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tailfuse.errors import TableError
from tailfuse.files.reading import Reading
from tailfuse.files.table import read_table
from tailfuse.modalities import KINDS
from tailfuse_service.errors import InvalidInput
from tailfuse_service.modalities import TabularModality
from tailfuse_service.modalities.tabular import (
    BooleanColumn,
    CategoryColumn,
    NumberColumn,
    standardise,
)
from tailfuse_service.modalities.tabular.spelling import NumberFormat

MISSING = ("NA", "-")
COLUMNS = (
    NumberColumn(name="age", mean=50.0, scale=7.0, indicator=True),
    NumberColumn(
        name="price", mean=3.0, scale=2.0, format=NumberFormat(decimal=",", thousands=".", unit="€")
    ),
    BooleanColumn(name="smoker"),
    CategoryColumn(name="zone", categories=("1.0", "250.0", "250.00", "True", "001", "café")),
    CategoryColumn(name="shop", categories=("a", "b"), buckets=5),
)
SPELLINGS = {
    "age": ["1", "1.0", " 1.50", "1e-05", "1E5", ".5", "-0.0", "07.25", "NA", "", "-", "True", "x", "1e40"],
    "price": ["7,25", "1.234,5 €", "€ 3", "7.25", "NA", "", "12,5 %"],
    "smoker": ["True", "TRUE", "false", "1", "0.0", "1.0", "yes", "NA", ""],
    "zone": ["1", "1.0", "1e0", "250", "250.0", "250.00", "TRUE", "true", "001", "1.00",
             "cafe\u0301", " café ", "new", "NA", ""],
    "shop": ["a", " b", "c", "d", "1.0", "NA", ""],
}  # fmt: skip
rows = st.fixed_dictionaries({name: st.sampled_from(cells) for name, cells in SPELLINGS.items()})


def make_modality(unreadable: Any) -> TabularModality:
    return TabularModality(columns=COLUMNS, width=17, missing=MISSING, unreadable=unreadable)


@given(st.lists(rows, min_size=1, max_size=12))
@settings(max_examples=200)
def test_a_table_gives_what_its_cells_give_in_a_request(
    tmp_path_factory: pytest.TempPathFactory, table: list[dict[str, str]]
) -> None:
    modality = make_modality("missing")
    features = modality.features("m")
    path = tmp_path_factory.mktemp("tables") / "table.csv"
    pl.DataFrame(table).write_csv(path)
    read = read_table(path, Reading(missing=MISSING))
    array, position = KINDS["tabular"].read_arrays("m", modality, read, np.arange(len(read))) or ((), ())
    for at, row in enumerate(table):
        expected = features.apply(row)
        got = None if position[at] < 0 else array[position[at]].tolist()
        assert got == (None if expected is None else expected.tolist()), row


@pytest.mark.parametrize(
    ("column", "cell"), [("age", "x"), ("age", "1e40"), ("price", "7.25"), ("smoker", "yes")]
)
def test_what_a_request_is_refused_for_stops_a_table(tmp_path: Path, column: str, cell: str) -> None:
    modality = make_modality("stop")
    table = pl.DataFrame({name: ["NA", "NA"] for name in SPELLINGS}).with_columns(
        pl.Series(column, ["1", cell])
    )
    table.write_csv(tmp_path / "table.csv")
    with pytest.raises(InvalidInput, match=f"column '{column}'"):
        modality.features("m").apply({column: cell})
    read = read_table(tmp_path / "table.csv", Reading(missing=MISSING))
    with pytest.raises(TableError, match=f"row 2: modality 'm', column '{column}': expected"):
        KINDS["tabular"].read_arrays("m", modality, read, np.arange(2))


@pytest.mark.parametrize(
    "typed",
    [
        pl.Series("zone", [1.0, None, 250.0]),
        pl.Series("zone", [1, 2, None]),
        pl.Series("zone", [True, False, None]),
        pl.Series("zone", ["001", None, "1"], dtype=pl.Categorical),
        pl.Series("age", [1, None, 3], dtype=pl.UInt8),
        pl.Series("age", [1.5, float("nan"), 3], dtype=pl.Float32),
        pl.Series("age", [True, None, False]),
        pl.Series("smoker", [1.0, None, 0.0]),
    ],
)
def test_a_typed_column_means_what_its_values_mean_in_json(tmp_path: Path, typed: pl.Series) -> None:
    modality = make_modality("stop")
    others = {name: [None] * 3 for name in SPELLINGS if name != typed.name}
    pl.DataFrame({typed.name: typed, **others}).write_parquet(tmp_path / "table.parquet")
    read = read_table(tmp_path / "table.parquet")
    array, position = KINDS["tabular"].read_arrays("m", modality, read, np.arange(3)) or ((), ())
    for at, value in enumerate(read[typed.name]):
        expected = modality.features("m").apply({typed.name: value})
        got = None if position[at] < 0 else array[position[at]].tolist()
        assert got == (None if expected is None else expected.tolist()), value


@given(
    values=st.lists(st.floats(-1e308, 1e308), min_size=1, max_size=20),
    unit=st.floats(1e-100, 1e100),
    mean=st.floats(-400, 400),
)
def test_logarithms_are_the_same_to_the_last_digit(values: list[float], unit: float, mean: float) -> None:
    column = NumberColumn(name="amount", mean=mean, scale=1.5, log_unit=unit)
    modality = TabularModality(columns=(column,), width=1, missing=MISSING, unreadable="missing")
    table = pl.DataFrame({"amount": values})
    array, position = KINDS["tabular"].read_arrays("m", modality, table, np.arange(len(values))) or ((), ())
    features = modality.features("m")
    for at, value in enumerate(values):
        by_value = features.apply({"amount": value})
        assert (by_value is None) == (position[at] < 0)
        if by_value is not None:
            assert array[position[at]].tolist() == by_value.tolist()
            assert by_value.tolist() == [np.float32(standardise(column, value))]
            assert np.isfinite(by_value).all()
