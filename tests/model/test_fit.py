"""Fitting sees training rows only, and says what cannot be fitted."""

import datetime
import logging
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from PIL import Image
from tailfuse.errors import TableError
from tailfuse.files.reading import DEFAULT_MISSING
from tailfuse.modalities import KINDS, ImageSpec, TabularSpec, TextSpec
from tailfuse_service.modalities import TextModality
from tailfuse_service.modalities.tabular import BooleanColumn, CategoryColumn, NumberColumn


def fit_columns(data: dict[str, Any], rows: list[int] | None = None, **spec: Any) -> Any:
    table = pl.DataFrame(data, strict=False)
    at = np.arange(len(table)) if rows is None else np.array(rows)
    tabular = TabularSpec(kind="tabular", columns=tuple(data), **spec)
    return KINDS["tabular"].fit("m", tabular, table, at, Path())


def test_types_are_inferred() -> None:
    modality = fit_columns({"age": [1, 2], "smoker": [True, False], "sex": ["m", "f"]})
    assert [column.type for column in modality.columns] == ["number", "boolean", "category"]
    assert modality.width == 1 + 1 + 2


def test_a_cell_that_is_no_number_among_numbers_stops_training() -> None:
    with pytest.raises(TableError) as caught:
        fit_columns({"v1": ["1.5", None, "3", "<0.5"]})
    assert str(caught.value) == (
        "modality 'm', column 'v1': 2 of 3 values are numbers, but row 4 is '<0.5'; correct it, list it "
        "under `missing:`, take such cells as missing by `unreadable: missing`, or say "
        "`types: {v1: category}`"
    )
    (v1,) = fit_columns({"v1": ["1.5", None, "3", "<0.5"]}, unreadable="missing").columns
    assert v1 == NumberColumn(name="v1", mean=2.25, scale=0.75, indicator=True)
    (v1,) = fit_columns({"v1": ["1.5", None, "3", "<0.5"]}, types={"v1": "category"}).columns
    assert v1.categories == ("1.5", "3", "<0.5")


def test_a_type_that_was_a_close_call_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    odd = {"code": ["001", "2", "3", "4"], "grade": ["1", "2", "x", "y"], "zip": ["01234", "9", "8", "7"]}
    with caplog.at_level(logging.WARNING, "tailfuse"):
        fit_columns(odd)
        fit_columns(odd, types=dict.fromkeys(odd, "category"))
    assert caplog.messages == [
        "modality 'm', column 'code': read as a category: 1 of 4 values begin with 0, as codes do",
        "modality 'm', column 'grade': read as a category: only 2 of 4 values are numbers",
        "modality 'm', column 'zip': read as a category: 1 of 4 values begin with 0, as codes do",
    ]


def test_the_spec_overrules_inferred_types() -> None:
    modality = fit_columns(
        {"grade": [3, 1, 3], "smoker": [0, 1, None], "size": ["1", "2", "3"]},
        types={"grade": "category", "smoker": "boolean", "size": "number"},
    )
    grade, smoker, size = modality.columns
    assert grade == CategoryColumn(name="grade", categories=("3", "1"))
    assert smoker == BooleanColumn(name="smoker")
    assert (size.type, size.mean) == ("number", 2.0)


def test_only_training_rows_are_looked_at() -> None:
    data = {"age": [1.0, 3.0, 1000.0, None], "sex": ["m", "f", "x", None]}
    modality = fit_columns(data, rows=[0, 1])
    assert modality.columns == (
        NumberColumn(name="age", mean=2.0, scale=1.0, indicator=False),
        CategoryColumn(name="sex", categories=("f", "m")),
    )


def test_missing_numbers_are_left_out_of_the_mean_and_get_an_indicator() -> None:
    (age,) = fit_columns({"age": [1.0, None, 3.0]}).columns
    assert age == NumberColumn(name="age", mean=2.0, scale=1.0, indicator=True)


def test_a_constant_has_scale_one() -> None:
    (age,) = fit_columns({"age": [0.1] * 7}).columns
    assert age.scale == 1.0


def test_categories_come_most_frequent_first() -> None:
    (sex,) = fit_columns({"count": ["b", "c", "a", "c", None]}).columns
    assert sex.categories == ("c", "a", "b")


def test_very_many_categories_share_buckets(caplog: pytest.LogCaptureFixture) -> None:
    names = [f"n{number}" for number in range(5000)] + ["n4999"]
    with caplog.at_level(logging.WARNING, "tailfuse"):
        modality = fit_columns({"city": names})
    (city,) = modality.columns
    assert len(city.categories) == 4096
    assert city.categories[:2] == ("n4999", "n0")
    assert city.buckets == 256
    assert modality.width == 4096 + 256
    assert caplog.messages == [
        "modality 'm', column 'city': 5,000 categories; the most frequent 4,096 have a slot each, "
        "the others share 256"
    ]
    described = KINDS["tabular"].describe(modality)
    assert described == "row of 1 category; of city the most frequent 4,096 are told apart"
    features = modality.features("m")
    others = {int(features.apply({"city": name}).argmax()) for name in set(names) - set(city.categories)}
    assert min(others) >= 4096
    assert len(others) > 200


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"age": [1, None, None]}, "modality 'm', column 'age': missing in every training row"),
        ({"age": [None, None, None]}, "modality 'm', column 'age': missing in every training row"),
        ({"age": [1.0, 2.0, float("inf")]},
         "row 3: modality 'm', column 'age': expected a finite number, not inf"),
        ({"age": [0.0, 1e308, -1e308]}, "modality 'm', column 'age': the numbers are too large to scale"),
        ({"age": [[1], [2], [3]]},
         "modality 'm', column 'age': holds list; a column of numbers, booleans or strings is taken"),
        ({"age": [datetime.date(2020, 1, 1)] * 3},
         "modality 'm', column 'age': holds date; a column of numbers, booleans or strings is taken"),
    ],
    ids=["missing in train", "missing everywhere", "infinite", "too large", "lists", "dates"],
)  # fmt: skip
def test_a_column_that_cannot_be_fitted_is_named(data: dict[str, Any], said: str) -> None:
    with pytest.raises(TableError) as caught:
        fit_columns(data, rows=[1, 2])
    assert str(caught.value) == said


def test_a_type_for_a_column_that_is_not_there_is_named() -> None:
    with pytest.raises(TableError) as caught:
        fit_columns({"age": [1, 2]}, types={"agee": "number"})
    assert str(caught.value) == (
        "modalities.m.types: 'agee' is not among the modality's columns; did you mean 'age'?"
    )


@pytest.mark.parametrize(
    ("modes", "channels"),
    [(["L", "L"], 1), (["1", "I;16", "LA"], 1), (["L", "RGB"], 3), (["RGB"], 3), (["L", None], 1)],
)
def test_pictures_are_grey_if_all_of_train_are(tmp_path: Path, modes: list[Any], channels: int) -> None:
    for number, mode in enumerate([*modes, "RGB"]):
        if mode:
            Image.new(mode, (9, 7)).save(tmp_path / f"{number}.png")
    names = [mode and f"{number}.png" for number, mode in enumerate([*modes, "RGB"])]
    spec = ImageSpec(kind="image", column="picture", size=(12, 10))
    modality = KINDS["image"].fit(
        "m", spec, pl.DataFrame({"picture": names}), np.arange(len(modes)), tmp_path
    )
    assert (modality.height, modality.width, modality.channels) == (12, 10, channels)


def test_a_picture_column_that_is_not_there_is_named() -> None:
    spec = ImageSpec(kind="image", column="imago")
    with pytest.raises(TableError) as caught:
        KINDS["image"].fit("m", spec, pl.DataFrame({"image": ["a"]}), np.arange(1), Path())
    assert str(caught.value) == (
        "modalities.m.column: the table has no column 'imago'; did you mean 'image'?"
    )


def test_no_picture_in_train_is_an_error() -> None:
    table = pl.DataFrame({"image": [None, "a.png"]})
    with pytest.raises(TableError, match="column 'image': missing in every training row"):
        KINDS["image"].fit("m", ImageSpec(kind="image", column="image"), table, np.array([0]), Path())


def test_a_text_keeps_the_specs_settings() -> None:
    spec = TextSpec(kind="text", columns=("t*",), ngrams=3, buckets=64, max_tokens=9)
    table = pl.DataFrame({"text": ["a", "b"], "title": ["c", None]})
    expected = TextModality(
        columns=("text", "title"), tokenizer=2, ngrams=3, buckets=64, max_tokens=9, missing=DEFAULT_MISSING
    )
    bag = spec.model_copy(update={"encoder": "bag"})
    assert KINDS["text"].fit("m", bag, table, np.arange(2), Path()) == expected
    fitted = KINDS["text"].fit("m", spec, table, np.arange(2), Path())
    known = np.array(sorted(map(zlib.crc32, (b" a ", b" b ", b" c "))), "<u4").tobytes()
    lsa = {"encoder": "lsa", "dimensions": 1, "known": known}
    assert fitted == expected.model_copy(update=lsa)
    with pytest.raises(TableError, match="modality 'm', column 'title': missing in every training row"):
        KINDS["text"].fit("m", spec, table, np.array([1]), Path())


def test_a_skewed_column_is_standardised_by_its_logarithms(caplog: pytest.LogCaptureFixture) -> None:
    amounts = [0.0, *np.exp(np.random.default_rng(0).normal(4, 2, 500)).tolist()]
    modality = fit_columns({"amount": [*amounts, None], "age": [*range(501), 3]})
    amount, age = modality.columns
    assert isinstance(amount, NumberColumn)
    assert isinstance(age, NumberColumn)
    assert amount.log_unit == pytest.approx(np.quantile(amounts[1:], 0.1), rel=0.1)
    assert age.log_unit is None
    assert amount.indicator
    features = modality.features("m")
    rows = np.array([features.apply({"amount": value}) for value in amounts])
    assert rows[:, 0].mean() == pytest.approx(0.0, abs=1e-5)
    assert rows[:, 0].std() == pytest.approx(1.0, abs=1e-5)
