"""Tables: what is read, what is missing, and how a wrong one is named."""

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from openpyxl import Workbook
from tailfuse.errors import TableError
from tailfuse.files.cells import to_booleans, to_numbers, type_cells
from tailfuse.files.reading import Reading
from tailfuse.files.table import describe_wide_missing, read_batches, read_table


@pytest.fixture
def csv(tmp_path: Path) -> Any:
    def write(text: str | bytes) -> Path:
        path = tmp_path / "table.csv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def test_the_usual_spellings_of_missing_are_missing(csv: Any) -> None:
    table = read_table(csv('a,b,c\n1,x,\n,"",1.5\nNA,null,NaN\nnan,<NA>,2\n  ,NA ,n/a\n'))
    assert table.rows() == [
        ("1", "x", None),
        (None, None, "1.5"),
        (None,) * 3,
        (None, None, "2"),
        (None,) * 3,
    ]


def test_what_is_missing_can_be_said(csv: Any, tmp_path: Path) -> None:
    path = csv("a\nNA\n-\nunknown\n")
    reading = Reading(missing=("-", "unknown"))
    assert read_table(path, reading)["a"].to_list() == ["NA", None, None]
    assert read_table(path, Reading(missing=()))["a"].to_list() == ["NA", "-", "unknown"]
    pl.DataFrame({"a": ["NA", "-", "unknown"]}).write_parquet(tmp_path / "a.parquet")
    assert read_table(tmp_path / "a.parquet", reading)["a"].to_list() == ["NA", None, None]


def test_a_number_that_is_missing_is_so_in_every_format_and_spelling(csv: Any, tmp_path: Path) -> None:
    reading = Reading(missing=("-999",))
    csv("n,c\n-999,a\n-999.0,-999\n7,b\n")
    expected = [None, None, 7]
    assert read_table(tmp_path / "table.csv", reading)["n"].cast(pl.Int64).to_list() == expected
    for numbers in ([-999, -999, 7], [-999.0, -999.0, 7.0]):
        pl.DataFrame({"n": numbers}).write_parquet(tmp_path / "table.parquet")
        assert read_table(tmp_path / "table.parquet", reading)["n"].to_list() == expected


def test_a_text_that_is_missing_in_a_tenth_of_the_rows_is_described() -> None:
    table = pl.DataFrame(
        {"a": ["NA"] * 2 + ["EU"] * 8, "b": ["NA"] + ["EU"] * 9, "c": ["x"] * 10, "d": [1] * 10}
    )
    assert describe_wide_missing(table[:9], ("NA",)) == [
        "column 'a': 'NA' in 2 of 9 rows is taken as missing; if it is a value, list what is missing under "
        "`missing:`, without it",
        "column 'b': 'NA' in 1 of 9 rows is taken as missing; if it is a value, list what is missing under "
        "`missing:`, without it",
    ]
    assert describe_wide_missing(pl.concat([table[:1], table[2:]]), ("null",)) == []
    assert len(describe_wide_missing(table[:9], ("NA ",))) == 2


def test_cells_are_read_as_the_file_spells_them(csv: Any) -> None:
    table = read_table(csv("code,age,big\n250.00,1E5, 07.25 \n001,True," + "9" * 42 + "\n"))
    assert table.rows() == [("250.00", "1E5", "07.25"), ("001", "True", "9" * 42)]


def test_quotes_in_a_columns_name_are_read_once(csv: Any) -> None:
    table = read_table(csv('"note ""free""",b\n01,2\n'))
    assert table.to_dict(as_series=False) == {'note "free"': ["01"], "b": ["2"]}


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_blank_lines_are_no_rows(csv: Any, end: str) -> None:
    lines = ["", "a,b", "", "1,2", "", '"x\n\ny",', "3,4", "", ""]
    assert read_table(csv(end.join(lines))).rows() == [("1", "2"), ("x\n\ny", None), ("3", "4")]


def test_names_that_could_be_patterns_are_names(csv: Any, tmp_path: Path) -> None:
    names = ["*", "^x.*$", "x1", "$", "{}", "[0]", "a b"]
    path = csv(",".join(names) + "\n" + ",".join("1234567") + "\n")
    read_table(path).write_parquet(tmp_path / "table.parquet")
    for each in (path, tmp_path / "table.parquet", tmp_path):
        table = read_table(each)
        assert table.columns == names
        assert table.row(-1) == tuple("1234567")
        assert next(read_batches(each)).columns == names


def test_every_format_says_the_same(tmp_path: Path) -> None:
    frame = pl.DataFrame({"a": [1.5, float("nan"), None], "b": ["x", "", "NA"], "c": [True, None, False]})
    frame.write_csv(tmp_path / "table.csv")
    (tmp_path / "table.csv.gz").write_bytes(gzip.compress((tmp_path / "table.csv").read_bytes()))
    frame.write_csv(tmp_path / "table.tsv", separator="\t")
    frame.write_parquet(tmp_path / "table.parquet")
    frame.write_ipc(tmp_path / "table.feather")
    frame.fill_nan(None).write_ndjson(tmp_path / "table.jsonl")
    book = Workbook()
    for row in [frame.columns, *frame.fill_nan(None).rows()]:
        book.active.append(row)
    book.save(tmp_path / "table.xlsx")
    for path in sorted(tmp_path.iterdir()):
        table = read_table(path)
        assert table["b"].to_list() == ["x", None, None], path
        assert to_numbers(table["a"]).to_list() == [1.5, None, None], path
        assert to_booleans(table["c"]).to_list() == [True, None, False], path
        assert pl.concat(read_batches(path, rows=2)).equals(table), path


def test_categoricals_and_decimals_are_read_as_strings_and_numbers(tmp_path: Path) -> None:
    frame = pl.DataFrame({"a": ["x", "y"], "b": ["1.5", "2"]}).with_columns(
        pl.col("a").cast(pl.Categorical), pl.col("b").cast(pl.Decimal(10, 2))
    )
    frame.write_parquet(tmp_path / "table.parquet")
    table = read_table(tmp_path / "table.parquet")
    assert table["a"].to_list() == ["x", "y"]
    assert to_numbers(table["b"]).to_list() == [1.5, 2.0]


def test_a_long_decimal_keeps_every_digit_as_a_name(tmp_path: Path) -> None:
    ids = ["12345678901234567890", "12345678901234567891"]
    frame = pl.DataFrame({"id": ids}).with_columns(pl.col("id").cast(pl.Decimal(20, 0)))
    frame.write_parquet(tmp_path / "table.parquet")
    names = type_cells(read_table(tmp_path / "table.parquet")["id"], "category", "here", np.arange(2))
    assert names.to_list() == ids


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a,b\n1,2\n3,4,5\n", "line 3: 3 values, 2 columns"),
        ("a,b\n1,2\n3\n", "line 3: 1 values, 2 columns"),
        ('a,b\n"one\nline",2\n3\n', "line 4: 1 values, 2 columns"),
        ("a,b,a\n1,2,3\n", "line 1: column 'a' is there twice"),
        (
            b"a,b\n1,2\n1,\xe9\n",
            "line 3 is not UTF-8 text; convert it, or say what it is: `encoding: latin-1`",
        ),
        ("a,b\n", "the table has no rows"),
        ("", "is empty"),
    ],
    ids=[
        "too many",
        "too few",
        "after a line break",
        "twice",
        "latin-1",
        "no rows",
        "empty",
    ],
)
def test_a_bad_csv_is_named_with_its_line(csv: Any, text: str | bytes, said: str) -> None:
    path = csv(text)
    with pytest.raises(TableError) as caught:
        read_table(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert said in str(caught.value)


def test_a_file_that_is_no_table_is_named(tmp_path: Path) -> None:
    for name in ("table.parquet", "table.xlsx", "table.feather", "table.jsonl"):
        (tmp_path / name).write_text("a,b\n1,2\n")
    (tmp_path / "empty.xlsx").write_bytes(b"")
    (tmp_path / "zip.xlsx").write_bytes(b"PK\3\4 and no more")
    for name, said in [
        ("table.parquet", "cannot be read"),
        ("table.xlsx", "cannot be read"),
        ("table.feather", "cannot be read"),
        ("table.jsonl", "line 1 is not JSON"),
        ("empty.xlsx", "cannot be read"),
        ("zip.xlsx", "cannot be read"),
        ("none.csv", "no such file"),
        ("table.doc", "the format of a table is told by its ending: .csv, .tsv"),
    ]:
        with pytest.raises(TableError, match=f"{name}: {said}"):
            read_table(tmp_path / name)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (
            b'\xef\xbb\xbf{"a": 1}\n',
            "line 1 begins with a byte order mark; save the file as UTF-8 without one",
        ),
        (b'{"a": 1.5}\n{"a": NaN}\n', "line 2 is not JSON: write null in place of NaN"),
        (b'{"a": 1}\n\n{"a": -Infinity}\n', "line 3 is not JSON: write null in place of -Infinity"),
        (b'{"a": 1}\n{"a":\n', "line 2 is not JSON: Expecting value"),
        (b'{"a": "x"}\n{"a": "\xe9"}\n', "line 2 is not UTF-8 text"),
        (b'[{"a": 1}]\n', 'line 1: expected a JSON object, not [{"a": 1}]'),
    ],
)
def test_a_bad_line_of_json_is_named(tmp_path: Path, data: bytes, said: str) -> None:
    path = tmp_path / "table.jsonl"
    path.write_bytes(data)
    with pytest.raises(TableError) as caught:
        read_table(path)
    assert str(caught.value) == f"{path}: {said}"
    with pytest.raises(TableError, match="line"):
        list(read_batches(path))


def write_workbook(path: Path, rows: list[list[Any]]) -> Path:
    book = Workbook()
    for row in rows:
        book.active.append(row)
    book.save(path)
    return path


@pytest.mark.parametrize("header", [["a", "b", "a"], ["a", "a", "b"], ["a ", " a", "b"], ["b", "a", "a "]])
def test_two_columns_of_one_name_in_a_workbook_are_refused(tmp_path: Path, header: list[str]) -> None:
    path = write_workbook(tmp_path / "table.xlsx", [header, [1, 2, 3]])
    with pytest.raises(TableError) as caught:
        read_table(path)
    assert str(caught.value) == f"{path}: row 1: column 'a' is there twice"


def test_names_of_columns_in_a_workbook_have_no_spaces_around_them(tmp_path: Path) -> None:
    path = write_workbook(tmp_path / "table.xlsx", [[" a", "a_1 ", "b c"], [1, 2, 3]])
    assert read_table(path).columns == ["a", "a_1", "b c"]
