"""`tailfuse call` on tables of every format, which needs more than the base install."""

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest
from tailfuse.cli.table_rows import iterate_csv, iterate_rows
from tailfuse.errors import UserError

from tests.support.call import TABLE, answered, refused
from tests.support.process import Service

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize("ending", [".csv", ".jsonl", ".parquet"])
def test_the_ending_of_out_is_the_format(service: Service, folder: Path, ending: str) -> None:
    answered(service.url, folder / "table.csv", "--out", folder / "answers.csv", code=3)
    out = folder / f"other{ending}"
    answered(service.url, folder / "table.csv", "--out", out, code=3)
    readers: dict[str, Callable[..., pl.DataFrame]] = {
        ".csv": pl.read_csv,
        ".jsonl": pl.read_ndjson,
        ".parquet": pl.read_parquet,
    }
    answers, expected = readers[ending](out), pl.read_csv(folder / "answers.csv")
    assert answers.columns == expected.columns
    for name in ("row", "label", "probability", "weight.notes", "confidence.image", "problem"):
        assert answers[name].to_list() == expected[name].to_list()
    assert [path for path in folder.iterdir() if path.name.startswith(".")] == []


def test_a_table_of_any_format_is_sent(service: Service, folder: Path) -> None:
    expected = answered(service.url, folder / "table.csv", code=3)
    (folder / "table.tsv").write_text(TABLE.replace(",", "\t"))
    (folder / "excel.csv").write_text("sep=;\n" + TABLE.replace(",", " ; "), "utf-16")
    assert answered(service.url, folder / "table.tsv", code=3) == expected
    assert answered(service.url, folder / "excel.csv", code=3) == expected


def test_decimals_of_a_parquet_table_are_numbers(service: Service, folder: Path) -> None:
    rows = {"age": ["61.50", "20.00", None], "smoker": ["1.00", None, "0.00"], "title": ["a", "b", "c"]}
    for name, dtype in (("decimals", pl.Decimal(20, 2)), ("floats", pl.Float64)):
        numbers = [pl.col("age").cast(dtype), pl.col("smoker").cast(dtype)]
        pl.DataFrame(rows).with_columns(numbers).write_parquet(folder / f"{name}.parquet")
    assert pl.read_parquet(folder / "decimals.parquet")["age"][0] == Decimal("61.50")
    expected = answered(service.url, folder / "floats.parquet")
    assert answered(service.url, folder / "decimals.parquet") == expected
    assert len(expected.splitlines()) == 4


def test_no_file_is_lost_and_no_format_is_mistaken(service: Service, folder: Path) -> None:
    url, table = service.url, folder / "table.csv"
    (folder / "answers.csv").write_text("precious")
    assert "--overwrite replaces it" in refused(url, table, "--out", folder / "answers.csv")
    assert "is the table that is read" in refused(url, table, "--out", table, "--overwrite")
    assert ".csv, .parquet, .jsonl" in refused(url, table, "--out", folder / "answers.txt")
    assert "JSON Lines cannot be written as .csv" in refused(url, table, "--json", "--out", folder / "a.csv")
    assert "one sample cannot" in refused(url, "-i", "notes=a", "--out", folder / "a.parquet")
    (folder / "else.csv").write_text("a,b\n1,2\n")
    (folder / "bare.csv").write_text("title\n")
    assert "no column of this model" in refused(url, folder / "else.csv", "--out", folder / "a.csv")
    assert "has no rows" in refused(url, folder / "bare.csv", "--out", folder / "a.csv")
    assert (folder / "answers.csv").read_text() == "precious"
    assert not (folder / "a.csv").exists()
    answered(url, table, "--out", folder / "answers.csv", "--overwrite", code=3)
    assert (folder / "answers.csv").read_text().startswith("row,label,")


def test_on_the_base_install_a_csv_is_read_alike(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text('\ufeffid, note\n\n 7 ,"a, b"\nNA,\n', "utf-8")
    rows = list(iterate_csv(path))
    assert rows == [{"id": "7", "note": "a, b"}, {"id": "NA", "note": ""}]
    assert [{name: cell or "" for name, cell in row.items()} for row in iterate_rows(path)] == rows
    path.write_text("id,note\n1,a,b\n")
    with pytest.raises(UserError, match=r"table\.csv: line 2: 3 values, 2 columns"):
        list(iterate_csv(path))
    path.write_text('id,note\n1,a\n2,"b\n3,c\n')
    with pytest.raises(
        UserError, match=r"table\.csv: line 3: a quote opens in this row, and is never closed"
    ):
        list(iterate_csv(path))
