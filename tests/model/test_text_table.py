"""Tables in text as Excel, pandas and people write them: separators, encodings, quotes, broken lines."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tailfuse.errors import TableError
from tailfuse.files import text_lines, text_table
from tailfuse.files.reading import Reading, make_reading
from tailfuse.files.table import read_batches, read_table


def read_all(path: Path) -> pl.DataFrame:
    return read_table(path, Reading())


def read_in_batches(path: Path) -> list[Any]:
    return list(read_batches(path, Reading()))


def set_block(patch: pytest.MonkeyPatch, block: int) -> None:
    """Have tables checked and read in pieces of so many bytes."""
    patch.setattr(text_lines, "BLOCK", block)
    patch.setattr(text_table, "BLOCK", block)


@pytest.fixture
def write(tmp_path: Path) -> Any:
    def write(data: str | bytes, name: str = "table.csv") -> Path:
        path = tmp_path / name
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
        return path

    return write


@pytest.mark.parametrize(
    "text",
    [
        "a,b\n1,x\n2,y z\n",
        "a;b\n1;x\n2;y z\n",
        "a\tb\n1\tx\n2\ty z\n",
        "a|b\n1|x\n2|y z\n",
        "sep=;\na;b\n1;x\n2;y z\n",
        "sep=,\r\na,b\r\n1,x\r\n2,y z\r\n",
        "a,b\r\n1,x\r\n2,y z",
        "a,b\r1,x\r2,y z\r",
        "\n\na,b\n\n1,x\n\n2,y z\n\n",
        '"a","b"\n"1","x"\n2,"y z"\n',
        " a , b \n 1 ,\tx\n2, y z \n",
    ],
    ids=["comma", "semicolon", "tab", "bar", "sep=;", "sep=,", "CRLF", "CR", "blank", "quotes", "spaces"],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le-bom"])
def test_a_table_is_read_whoever_wrote_it(write: Any, text: str, encoding: str) -> None:
    data = b"\xff\xfe" + text.encode("utf-16-le") if encoding == "utf-16-le-bom" else text.encode(encoding)
    assert read_table(write(data)).to_dict(as_series=False) == {"a": ["1", "2"], "b": ["x", "y z"]}


def test_excel_in_europe_writes_semicolons_and_commas(write: Any) -> None:
    table = read_table(write("name;price\nAnna, die Erste;1,5\nBob;2,25\n"))
    assert table.rows() == [("Anna, die Erste", "1,5"), ("Bob", "2,25")]


def test_two_possible_separators_are_asked_about(write: Any) -> None:
    path = write("a,b;c\n1,2;3\n")
    with pytest.raises(TableError, match=r"a comma and a semicolon may separate the values; say which"):
        read_table(path)
    assert read_table(path, Reading(separator=";")).rows() == [("1,2", "3")]


def test_latin_1_is_read_if_it_is_said_and_never_guessed(write: Any) -> None:
    path = write("ort,n\nKöln,1\n".encode("latin-1"))
    with pytest.raises(TableError, match=r"line 2 is not UTF-8 text; .* `encoding: latin-1`"):
        read_table(path)
    assert read_table(path, Reading(encoding="latin-1"))["ort"].to_list() == ["Köln"]
    path = write("größe,n\n1,2\n".encode("latin-1"))
    assert read_table(path, Reading(encoding="latin-1")).columns == ["größe", "n"]
    with pytest.raises(TableError, match=r"is not ascii text"):
        read_table(path, Reading(encoding="ascii"))


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("Größe;n\n1;2\n", 1),
        ("n;Größe\r\n1;2\r\n", 1),
        ("sep=;\nGröße;n\n1;2\n", 2),
        ("Größe;Größe\n1;2\n", 1),
        ('"Größe";n\n7" pipe;2\n', 1),
        ("Größe\n1\n", 1),
        ("n\tGröße\n1\t2\n", 1),
        ("Größe;n\n", 1),
    ],
    ids=["first", "Windows", "after sep=", "twice", "quotes", "one column", "tabs", "no rows"],
)
def test_a_header_that_is_not_utf_8_is_named(write: Any, text: str, line: int) -> None:
    path = write(text.encode("latin-1"))
    with pytest.raises(TableError, match=rf"line {line} is not UTF-8 text; .* `encoding: latin-1`"):
        read_table(path)
    with pytest.raises(TableError, match=rf"line {line} is not UTF-8 text"):
        list(read_batches(path))


def test_a_later_table_may_be_in_the_encoding_of_the_training_table_or_in_utf_8(write: Any) -> None:
    reading = make_reading({"encoding": "latin-1", "separator": ";"})
    for encoding in ("latin-1", "utf-8", "utf-16"):
        for separator in ";,":
            table = read_table(write(f"ort{separator}n\nKöln{separator}1\n".encode(encoding)), reading)
            assert table.rows() == [("Köln", "1")]
    assert read_table(write("a,b;c\n1,2;3\n"), reading).rows() == [("1,2", "3")]


def test_utf_16_without_a_mark_is_named(write: Any) -> None:
    path = write("a,b\n1,2\n".encode("utf-16-le"))
    with pytest.raises(TableError, match=r"holds NUL bytes; if the text is UTF-16, write `encoding: utf-16`"):
        read_table(path)
    assert read_table(path, Reading(encoding="utf-16-le")).rows() == [("1", "2")]


@pytest.mark.parametrize("block", [3, 7, 1 << 22])
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a,b\n1,2\n3,4,5\n", "line 3: 3 values, 2 columns"),
        ("a,b\n1,2\n3\n", "line 3: 1 values, 2 columns"),
        ("a,b\n1,2\n3", "line 3: 1 values, 2 columns"),
        ('a,b\n"one\nline",2\n3\n', "line 4: 1 values, 2 columns"),
        ("sep=,\na,b\n1\n", "line 3: 1 values, 2 columns"),
        ("a,b,a\n1,2,3\n", "line 1: column 'a' is there twice"),
    ],
)
def test_a_wrong_line_is_named(
    write: Any, monkeypatch: pytest.MonkeyPatch, block: int, text: str, said: str
) -> None:
    set_block(monkeypatch, block)
    path = write(text)
    with pytest.raises(TableError) as caught:
        read_table(path)
    assert str(caught.value) == f"{path}: {said}"


cells = st.text(st.sampled_from('ab ,;\n"é'), max_size=6)
tables = st.integers(2, 4).flatmap(
    lambda width: st.lists(st.lists(cells, min_size=width, max_size=width), min_size=1, max_size=8)
)


@given(tables, st.integers(1, 40), st.booleans())
def test_what_is_written_is_read(
    tmp_path_factory: Any, rows: list[list[str]], block: int, crlf: bool
) -> None:
    path = tmp_path_factory.mktemp("tables") / "table.csv"
    frame = pl.DataFrame(rows, schema=[f"c{at}" for at in range(len(rows[0]))], orient="row")
    frame.write_csv(path, line_terminator="\r\n" if crlf else "\n", quote_style="non_numeric")
    with pytest.MonkeyPatch.context() as patch:
        set_block(patch, block)
        table = read_table(path, Reading(separator=",", missing=()))
        pieces = list(read_batches(path, Reading(separator=",", missing=()), rows=3))
    expected = [tuple(cell.strip() or None for cell in row) for row in rows]
    assert table.rows() == expected
    assert [row for piece in pieces for row in piece.rows()] == expected
    assert max(map(len, pieces)) <= 3


@pytest.mark.parametrize("block", [1, 5, 1000])
def test_blank_lines_are_no_rows_of_a_piece_either(
    write: Any, monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    path = write('\n\na,b\n\n1,"x\n\ny"\n\r\n,\n\n2,z')
    set_block(monkeypatch, block)
    expected = [("1", "x\n\ny"), (None, None), ("2", "z")]
    assert [row for piece in read_batches(path) for row in piece.rows()] == expected
    assert read_table(path).rows() == expected


def test_a_quote_within_a_cell_is_no_reason_to_refuse_a_table(write: Any) -> None:
    table = read_table(write('a,b\n5 in,x\n7" pipe,y\n8,z\n'))
    assert table["b"].to_list() == ["x", "y", "z"]


def test_a_long_table_is_checked_without_its_lines_going_through_python(
    write: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text_table, "rewrite_records", None)
    numbers = np.arange(100_000)
    table = read_table(write("a,b\n" + "".join(f'{n},"x,{n}\n"\n' for n in numbers)))
    assert table["a"].cast(pl.Int64).to_numpy().tolist() == numbers.tolist()


UNCLOSED = "a quote opens in this row, and is never closed"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        pytest.param('a,b\n1,x\n2,"y\n3,z\n4,w\n', 3, id="in the last column: one cell of all other rows"),
        pytest.param('a,b\n1,x\n"2,y\n3,z\n', 3, id="in another column"),
        pytest.param('a,b\n1,x\n2,"y', 3, id="in the last row"),
        pytest.param('a,b\n1,x\n2,"', 3, id="as the last character"),
        pytest.param('a,"b\n1,x\n2,y\n', 1, id="in the header"),
        pytest.param('sep=;\na;b\n1;"x\n2;y\n', 3, id="below Excel's first line"),
        pytest.param('a\tb\r\n1\tx\r\n2\t"y\r\n3\tz\r\n', 3, id="between tabs"),
        pytest.param('a,b\n1,"two\nlines"\n2,"y\n3,z\n', 4, id="below a cell of two lines"),
        pytest.param('a\n"x\ny\n', 2, id="of one column"),
        pytest.param('a,b\n1,"x ""so"\n2,"""y\n3,z\n', 3, id="beside doubled quotes"),
    ],
)
@pytest.mark.parametrize("read", [read_all, read_in_batches])
def test_a_quote_that_is_never_closed_is_refused(write: Any, read: Any, text: str, line: int) -> None:
    path = write(text)
    with pytest.raises(TableError) as error:
        read(path)
    assert str(error.value) == f"{path}: line {line}: {UNCLOSED}"


def test_quotes_within_a_cell_are_characters(write: Any) -> None:
    table = read_all(write('a,b\n1,7" pipe\n2,"two\nlines"\n3,x"\n'))
    assert table["b"].to_list() == ['7" pipe', "two\nlines", 'x"']


@pytest.mark.parametrize("block", [1, 5, 1 << 22])
@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ('id,size,label\n1,5" pipe,a\n2,6" pipe,b\n', [("1", '5" pipe', "a"), ("2", '6" pipe', "b")]),
        ("h,label\n5'11\",a\n6'1\",b\n", [("5'11\"", "a"), ("6'1\"", "b")]),
        ('id,label,size\n1,a,5"\n2,b,6"\n3,c,7\n', [("1", "a", '5"'), ("2", "b", '6"'), ("3", "c", "7")]),
        ('a\tb\r\n5" x\t1\r\n6" x\t2\r\n', [('5" x', "1"), ('6" x', "2")]),
        ('a,b\n1,he said "hi\n2,then "bye\n', [("1", 'he said "hi'), ("2", 'then "bye')]),
        ('a,b,c\n1,"x" ,3\n2,"z"  ,4\n', [("1", "x", "3"), ("2", "z", "4")]),
        ('a,b\n1,"hi" there\n2,z\n', [("1", "hi there"), ("2", "z")]),
        ('a,b\n1,"two\nlines"\n2,5" x\n3,6" x\n', [("1", "two\nlines"), ("2", '5" x'), ("3", '6" x')]),
    ],
)
def test_an_even_number_of_quotes_within_cells_hides_no_row(
    write: Any, monkeypatch: pytest.MonkeyPatch, block: int, text: str, rows: list[Any]
) -> None:
    set_block(monkeypatch, block)
    path = write(text)
    assert read_all(path).rows() == rows
    assert [row for piece in read_in_batches(path) for row in piece.rows()] == rows


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('a,b,c\n1, "x, y",3\n2,z,4\n', "line 2: 4 values, 3 columns"),
        ('a,b\n1,"hi" there, you\n2,z\n', "line 2: 3 values, 2 columns"),
        (
            'a,b,c\n0,x,y\n1,"hello,a\n2,"bye,b\n',
            "line 3: a quote opens in this row, and the next quote, in a later row, does not end a cell",
        ),
    ],
)
@pytest.mark.parametrize("read", [read_all, read_in_batches])
def test_a_quote_that_cannot_be_read_is_named_with_its_line(
    write: Any, read: Any, text: str, said: str
) -> None:
    path = write(text)
    with pytest.raises(TableError) as error:
        read(path)
    assert str(error.value) == f"{path}: {said}"
