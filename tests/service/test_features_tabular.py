"""A row becomes a vector by the columns of its bundle, or names the column that does not fit."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tailfuse_service.errors import InvalidInput, NotFinite, UnknownColumn
from tailfuse_service.modalities import TabularModality
from tailfuse_service.modalities.tabular import BooleanColumn, CategoryColumn, NumberColumn
from tailfuse_service.modalities.tabular.features import TabularFeatures

COLUMNS = (
    NumberColumn(name="age", mean=50.0, scale=10.0, indicator=True),
    NumberColumn(name="pulse", mean=70.0, scale=5.0),
    BooleanColumn(name="smoker"),
    CategoryColumn(name="site", categories=("back", "1")),
)
FEATURES = TabularModality(columns=COLUMNS, width=6).features("clinical")


@pytest.mark.parametrize(
    ("row", "vector"),
    [
        ({"age": 60, "pulse": 65.0, "smoker": True, "site": "back"}, [1, 0, -1, 1, 1, 0]),
        ({"age": 60}, [1, 0, 0, 0, 0, 0]),
        ({"smoker": False}, [0, 1, 0, -1, 0, 0]),
        ({"site": "unseen"}, [0, 1, 0, 0, 0, 0]),
        ({"site": 1}, [0, 1, 0, 0, 0, 1]),
        ([60, None, None, "back"], [1, 0, 0, 0, 1, 0]),
    ],
)
def test_a_row_becomes_its_vector(row: Any, vector: list[float]) -> None:
    array = FEATURES.apply(row)
    assert array is not None
    assert array.dtype == np.float32
    assert array.tolist() == vector


@pytest.mark.parametrize("row", [{}, {"age": None}, [None] * 4])
def test_a_row_of_nothing_is_absent(row: Any) -> None:
    assert FEATURES.apply(row) is None


@pytest.mark.parametrize(
    ("row", "column"),
    [
        ({"age": "sixty"}, "age"),
        ({"age": "1,5"}, "age"),
        ({"age": "1_000"}, "age"),
        ({"age": "inf"}, "age"),
        ({"age": [60]}, "age"),
        ({"age": float("nan")}, "age"),
        ({"age": float("inf")}, "age"),
        ({"age": 10**400}, "age"),
        ({"pulse": 1e38}, "pulse"),
        ({"smoker": "yes"}, "smoker"),
        ({"smoker": 2}, "smoker"),
        ({"smoker": 0.5}, "smoker"),
        ({"site": float("inf")}, "site"),
        ({"site": {}}, "site"),
        ({"sight": "back"}, "sight"),
    ],
)
def test_a_value_that_does_not_fit_names_its_column(row: Any, column: str) -> None:
    with pytest.raises(InvalidInput) as error:
        FEATURES.apply(row)
    assert error.value.members["modality"] == "clinical"
    assert error.value.members["column"] == column
    assert f"'{column}'" in error.value.detail


@pytest.mark.parametrize(
    ("row", "kind", "shown"),
    [
        ({"age": float("nan")}, NotFinite, "NaN"),
        ({"age": float("-inf")}, NotFinite, "-Infinity"),
        ({"age": 10**400}, NotFinite, "1" + "0" * 39),
        ({"pulse": 1e38}, NotFinite, "1e+38"),
        ({"pulse": [True]}, InvalidInput, "an array"),
        ({"smoker": "ärmer"}, InvalidInput, '"ärmer"'),
        ({"site": float("nan")}, InvalidInput, "NaN"),
        ({"site": []}, InvalidInput, "an array"),
    ],
)
def test_a_value_that_does_not_fit_is_shown_as_json_spells_it(
    row: Any, kind: type[InvalidInput], shown: str
) -> None:
    with pytest.raises(InvalidInput) as error:
        FEATURES.apply(row)
    assert type(error.value) is kind
    assert error.value.members["received"] == shown
    assert error.value.detail.endswith(f", not {shown}")


@pytest.mark.parametrize(
    ("cell", "same"),
    [
        ({"age": "60"}, {"age": 60}),
        ({"age": " 6.0e1\u00a0"}, {"age": 60.0}),
        ({"age": "+060"}, {"age": 60}),
        ({"age": True}, {"age": 1}),
        ({"age": "NA"}, {"age": None}),
        ({"pulse": ".5"}, {"pulse": 0.5}),
        ({"smoker": 1}, {"smoker": True}),
        ({"smoker": "TRUE"}, {"smoker": True}),
        ({"smoker": "0.0"}, {"smoker": False}),
        ({"smoker": " NA "}, {"smoker": None}),
        ({"site": " back "}, {"site": "back"}),
        ({"site": 1.0}, {"site": "1"}),
        ({"site": "1.0"}, {"site": "1"}),
        ({"site": "1e0"}, {"site": "1"}),
        ({"site": ""}, {"site": None}),
    ],
)
def test_a_cell_means_the_same_however_it_is_spelled(cell: Any, same: Any) -> None:
    modality = TabularModality(columns=COLUMNS, width=6, missing=("NA",))
    read, expected = (modality.features("m").apply({"pulse": 71, **row}) for row in (cell, same))
    assert read is not None
    assert expected is not None
    assert read.tolist() == expected.tolist()


def test_a_cell_that_its_column_cannot_take_is_missing_if_the_bundle_says_so() -> None:
    modality = TabularModality(columns=COLUMNS, width=6, unreadable="missing")
    row = modality.features("m").apply(
        {"age": "sixty", "pulse": float("inf"), "smoker": "yes", "site": "back"}
    )
    assert row is not None
    assert row.tolist() == [0, 1, 0, 0, 1, 0]
    assert modality.features("m").apply({"age": "sixty"}) is None


@pytest.mark.parametrize("cell", [-999, -999.0, "-999", "-999.00", "\u2212999", "NA", None])
def test_a_number_that_is_missing_is_so_in_every_spelling(cell: Any) -> None:
    modality = TabularModality(columns=COLUMNS, width=6, missing=("NA", "-999"))
    array = modality.features("clinical").apply({"age": cell, "smoker": True, "site": cell})
    assert array is not None
    assert array.tolist() == [0, 1, 0, 1, 0, 0]


@pytest.mark.parametrize("spelled", ["5", "5.00", " 5 ", 5, 5.0])
def test_a_category_without_a_slot_of_its_own_has_one_bucket(spelled: Any) -> None:
    column = CategoryColumn(name="code", categories=("a",), buckets=1000)
    features = TabularModality(columns=(column,), width=1001).features("m")
    assert features.find_slot(column, spelled) == features.find_slot(column, "5.0")


def test_an_unknown_column_is_an_error_of_its_own() -> None:
    with pytest.raises(UnknownColumn) as error:
        FEATURES.apply({"sight": "back"})
    assert error.value.members["expected"] == ["age", "pulse", "smoker", "site"]


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)
rows = (
    values
    | st.dictionaries(st.sampled_from([column.name for column in COLUMNS]), values)
    | st.lists(scalars, min_size=4, max_size=4)
)


def applied(features: TabularFeatures, raw: Any) -> Any:
    """What it gives, or the one error that it may raise."""
    try:
        return features.apply(raw)
    except InvalidInput as error:
        return error


@given(rows)
def test_any_json_value_gives_a_finite_vector_or_one_clear_error(raw: Any) -> None:
    vector = applied(FEATURES, raw)
    if isinstance(vector, InvalidInput):
        assert vector.members["modality"] == "clinical"
    else:
        assert vector is None or (vector.shape == (6,) and np.isfinite(vector).all())


@given(st.permutations(["age", "pulse", "smoker", "site"]))
def test_the_order_of_the_keys_does_not_matter(names: list[str]) -> None:
    row = {"age": 60, "pulse": 65.0, "smoker": True, "site": "back"}
    np.testing.assert_array_equal(FEATURES.apply({name: row[name] for name in names}), FEATURES.apply(row))


def test_stacking_nothing_gives_no_rows() -> None:
    assert FEATURES.stack([]).shape == (0, 6)
