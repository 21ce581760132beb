"""Columns of a table become values: which are meant, of what type, and what cannot be read."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from tailfuse.errors import TableError
from tailfuse.files.cells import type_cells
from tailfuse.files.table import match_columns
from tailfuse.modalities import KINDS
from tailfuse.modalities.files import UnreadableFile
from tailfuse_service.modalities import ImageModality, TabularModality, TextModality
from tailfuse_service.modalities.tabular import BooleanColumn, CategoryColumn, NumberColumn

PICTURE = ImageModality(column="picture", height=8, width=8, channels=3)


def values(
    table: pl.DataFrame, modality: Any, folder: Path = Path(), rows: list[int] | None = None
) -> list[Any]:
    at = np.arange(len(table)) if rows is None else np.array(rows)
    return list(KINDS[modality.kind].raw_values("m", modality, table, at, folder))


def test_patterns_mean_columns_in_the_tables_order() -> None:
    table = pl.DataFrame({name: [1] for name in ("rna_2", "age", "rna_1", "a[b]", "sex")})
    assert match_columns(table, ["sex", "rna_*", "rna_1"], "k") == ["rna_2", "rna_1", "sex"]
    assert match_columns(table, ["a[b]"], "k") == ["a[b]"]


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("ago", "modalities.m.columns: the table has no column 'ago'; did you mean 'age'?"),
        ("dna_*", "modalities.m.columns: no column matches 'dna_*'"),
    ],
)
def test_a_column_that_is_not_there_is_named_with_the_specs_key(pattern: str, said: str) -> None:
    with pytest.raises(TableError) as caught:
        match_columns(pl.DataFrame({"age": [1], "x": [2]}), [pattern], "modalities.m.columns")
    assert str(caught.value) == said


def test_a_pattern_does_not_match_the_index_that_pandas_wrote() -> None:
    table = pl.DataFrame({name: [1] for name in ("", "Unnamed: 0", "a", "__index_level_0__", "Unnamed: 12")})
    assert match_columns(table, ["*"], "k") == ["a"]
    assert match_columns(table, ["Unnamed: 0"], "k") == ["Unnamed: 0"]


def test_tabular_rows_are_what_the_features_take() -> None:
    modality = TabularModality(
        columns=(
            NumberColumn(name="age", mean=0, scale=1),
            BooleanColumn(name="smoker"),
            CategoryColumn(name="grade", categories=()),
        ),
        width=2,
    )
    table = pl.DataFrame(
        {"age": [61, None, 3], "smoker": [True, None, False], "grade": [1.0, None, 3.0], "other": [0, 0, 0]}
    )
    assert values(table, modality) == [
        {"age": 61.0, "smoker": True, "grade": "1"},
        {"age": None, "smoker": None, "grade": None},
        {"age": 3.0, "smoker": False, "grade": "3"},
    ]
    assert values(table, modality, rows=[2]) == [{"age": 3.0, "smoker": False, "grade": "3"}]


@pytest.mark.parametrize(
    ("given", "to", "expected"),
    [
        (pl.Series(["1.5", None, "2 kg"]), "number", None),
        (pl.Series(["1.5", None, "2"]), "number", [1.5, None, 2.0]),
        (pl.Series([True, None]), "number", [1.0, None]),
        (pl.Series(["True", "false", None, "0"]), "boolean", [True, False, None, False]),
        (pl.Series([1.0, 0.0, None]), "boolean", [True, False, None]),
        (pl.Series([0, 2]), "boolean", None),
        (pl.Series([0.5]), "category", ["0.5"]),
        (pl.Series([1.0, 2.5, None, 1e300]), "category", ["1", "2.5", None, "1e+300"]),
        (pl.Series([True, False]), "category", ["true", "false"]),
        (pl.Series([None, None]), "category", [None, None]),
    ],
)
def test_values_are_read_as_the_type_they_should_have(given: pl.Series, to: Any, expected: Any) -> None:
    rows = np.arange(len(given))
    if expected is None:
        with pytest.raises(TableError, match=r"row [23]: here: expected"):
            type_cells(given, to, "here", rows)
    else:
        assert type_cells(given, to, "here", rows).to_list() == expected


def test_an_infinite_number_is_named_with_its_row_and_column() -> None:
    modality = TabularModality(columns=(NumberColumn(name="age", mean=0, scale=1),), width=1)
    table = pl.DataFrame({"age": [1.0, 2.0, float("-inf")]})
    with pytest.raises(TableError) as caught:
        values(table, modality, rows=[0, 2])
    assert str(caught.value) == "row 3: modality 'm', column 'age': expected a finite number, not -inf"


def test_one_text_column_is_a_string_and_several_an_object() -> None:
    table = pl.DataFrame({"title": ["a", None, None], "review": ["b", "c", None], "stars": [3, 4, None]})
    one = TextModality(columns=("title",), buckets=8, ngrams=1, max_tokens=8)
    assert values(table, one) == ["a", None, None]
    three = TextModality(columns=("title", "review", "stars"), buckets=8, ngrams=1, max_tokens=8)
    assert values(table, three) == [
        {"title": "a", "review": "b", "stars": "3"},
        {"title": None, "review": "c", "stars": "4"},
        None,
    ]


def test_pictures_are_read_from_files_and_from_bytes(tmp_path: Path) -> None:
    (tmp_path / "one.png").write_bytes(b"one")
    (tmp_path / "empty.png").write_bytes(b"")
    empty = UnreadableFile("the file is empty")
    paths = pl.DataFrame({"picture": ["one.png", None, "empty.png", ""]})
    assert values(paths, PICTURE, tmp_path) == [b"one", None, empty, None]
    binary = pl.DataFrame({"picture": [b"one", None, b""]})
    assert values(binary, PICTURE) == [b"one", None, empty]


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("two.png", "no such file or directory"), (".", "is a directory"), ("a\0b", "not a path"),
    ],
)  # fmt: skip
def test_a_path_that_is_no_file_is_unreadable(tmp_path: Path, path: str, why: str) -> None:
    table = pl.DataFrame({"picture": [path]})
    assert values(table, PICTURE, tmp_path) == [UnreadableFile(why)]


def test_a_picture_column_of_numbers_is_refused() -> None:
    with pytest.raises(TableError, match="column 'picture': holds int64; paths or the bytes"):
        values(pl.DataFrame({"picture": [1]}), PICTURE)
