"""A first spec says which column is the label, what it left out and why."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest
from click.testing import CliRunner
from tailfuse.cli import main
from tailfuse.data.dataset import load_dataset
from tailfuse.data.scaffold import scaffold_spec
from tailfuse.errors import TableError
from tailfuse.files.reading import Reading
from tailfuse.spec.schema import load_spec
from tailfuse_service.modalities import TabularModality
from tailfuse_service.modalities.tabular import NumberColumn


@pytest.fixture
def numbers() -> dict[str, Any]:
    """60 rows: a label with a tail, and two columns."""
    return {"y": ["a"] * 40 + ["b"] * 20, "age": list(range(20, 80))[::-1], "sex": ["m", "f", "f"] * 20}


def scaffold(folder: Path, columns: dict[str, Any], label: str | None = None) -> str:
    """The first spec of a CSV of 60 rows, as text."""
    pl.DataFrame(columns).write_csv(folder / "t.csv")
    return scaffold_spec(folder / "t.csv", folder, label)


def test_the_user_names_the_label(tmp_path: Path, numbers: dict[str, Any]) -> None:
    text = scaffold(tmp_path, numbers, "sex")
    assert "\nlabel: sex\n" in text
    assert "#   y: its name is that of a label; add it if it is known before 'sex' is\n" in text
    with pytest.raises(TableError, match=r"csv: label: the table has no column 'sexx'; did you mean 'sex'\?"):
        scaffold(tmp_path, numbers, "sexx")
    with pytest.raises(TableError, match="csv: label: column 'one' has one value; a label has at least two"):
        scaffold(tmp_path, {**numbers, "one": ["a"] * 60}, "one")


def test_a_coordinate_named_y_is_no_label(tmp_path: Path, numbers: dict[str, Any]) -> None:
    numbers["kept"] = [f"{each == 'a'}" for each in numbers["y"]]
    numbers |= {"y": [number / 8 for number in range(60)]}
    text = scaffold(tmp_path, {"x": numbers["y"][::-1], **numbers})
    assert "label: sex  # a guess: check it" in text or "label: kept  # a guess: check it" in text
    assert "columns: [x, y, age" in text


def test_a_number_of_a_class_in_a_csv_is_a_label(tmp_path: Path) -> None:
    columns = {
        "degree": [float(number % 3) for number in range(60)],  # measured, as 0.0, 1.0, 2.0 say
        "digit": [number % 4 for number in range(60)],
        "height": [number / 7 for number in range(60)],
    }
    assert "label: digit  # a guess: check it" in scaffold(tmp_path, columns)


@pytest.mark.parametrize("name", ["Class Name", "class_name", "TARGET", "Label", "ground-truth", "Y"])
def test_a_label_is_known_by_its_name_however_it_is_written(
    tmp_path: Path, numbers: dict[str, Any], name: str
) -> None:
    numbers[name] = numbers.pop("y")
    assert "a guess" not in (text := scaffold(tmp_path, numbers))
    assert f"label: {name}" in text.replace('"', "")


@pytest.mark.parametrize(
    ("name", "values", "why"),
    [
        ("y_code", [7] * 30 + [9] * 30, "its name says that it tells 'y'"),
        ("target", ["p", "q", "r"] * 20, "its name is that of a label"),
        ("ward", [3.0] * 40 + [4.0] * 20, "each 'y' goes with one of its values and the reverse"),
        ("genus", (["left"] * 40 + ["right"] * 20), "each 'y' goes with one of its values and the reverse"),
        ("Unnamed: 0", list(range(60)), "it is the index that pandas wrote"),
        ("seen", [f"2024-03-{1 + day % 28:02d}" for day in range(60)], "it holds dates or times"),
        ("at", [f"{1 + day % 28}.3.2024 12:30" for day in range(60)], "it holds dates or times"),
        ("month", [f"{1 + day % 28} Mar 2024" for day in range(60)], "it holds dates or times"),
        ("constant", ["x"] * 60, "it is 'x' in every row"),
        ("number", [(number * 7) % 60 for number in range(60)], "it counts the rows"),
        ("sku", [f"A{number * 977 % 1000:03d}X" for number in range(60)], "look like codes: an identifier?"),
        ("mail", [f"{'abcdefgh'[at % 8] * (1 + at)}@x.org" for at in range(60)], "look like codes"),
        ("sum", ["1,500", "2,250"] * 30, "may be"),
    ],
)  # fmt: skip
def test_a_column_that_gives_nothing_or_too_much_is_left_out_with_a_word(
    tmp_path: Path, numbers: dict[str, Any], name: str, values: list[Any], why: str
) -> None:
    text = scaffold(tmp_path, {**numbers, name: values}, "y")
    (line,) = [line for line in text.splitlines() if line.replace('"', "").startswith(f"#   {name}: ")]
    assert why in line


@pytest.mark.parametrize(
    "words",
    [
        ["blue summer dress", "warm coat", "red shoes", "soft pullover", "denim"],
        ["fracture", "asthma", "migraine", "flu", "burn"],
        ["红色连衣裙", "蓝色外套", "鞋子很好", "柔软毛衣", "牛仔裤"],
    ],
)
def test_short_texts_are_texts(tmp_path: Path, numbers: dict[str, Any], words: list[str]) -> None:
    letters = "abcdefghijkl"
    titles = [f"{words[at % 5]} {letters[at // 5]}{letters[at % 7]}" for at in range(60)]
    assert "text: {kind: text, columns: [title]}" in scaffold(tmp_path, {**numbers, "title": titles})


@pytest.mark.parametrize(
    ("cells", "number"),
    [
        (["$1,200.50", "$3.25", "$2,000.00"], "1200.5"),
        (["12 %", "7.5 %", "30 %"], "12"),
        (["1.200,50 €", "7,25 €", "2.000,00 €"], "1200.5"),
    ],
)
def test_prices_and_percentages_are_numbers(
    tmp_path: Path, numbers: dict[str, Any], cells: list[str], number: str
) -> None:
    text = scaffold(tmp_path, {**numbers, "price": cells * 20})
    assert "columns: [age, sex, price], types: {price: number}}" in text
    assert f"  # price is read as a number: '{cells[0]}' is {number}\n" in text


def test_when_nothing_is_left_it_says_why_column_by_column(tmp_path: Path) -> None:
    columns = {
        "y": ["a", "b"] * 30,
        "id": list(range(60)),
        "day": ["2024-01-02", "2024-02-01", "2024-03-01"] * 20,
    }
    with pytest.raises(TableError) as caught:
        scaffold(tmp_path, columns)
    lines = str(caught.value).splitlines()
    assert lines[0].endswith("no column is left to learn from beside 'y':")
    assert lines[1] == "  id: it looks like an identifier"
    assert lines[2].startswith("  day: it holds dates or times, such as 2024-01-02")


def test_the_header_counts_rows_without_a_label_and_classes_with_one_row(
    tmp_path: Path, numbers: dict[str, Any]
) -> None:
    numbers["y"] = ["a"] * 30 + ["b"] * 25 + ["c", "d", None, None, None]
    text = scaffold(tmp_path, numbers)
    assert "# Rows without a label are skipped; there are 3." in text
    assert (
        "# Classes with one row cannot be evaluated; there are 2. The key `min_rows: 2` merges them." in text
    )


def test_what_is_said_of_the_file_is_in_the_spec(tmp_path: Path) -> None:
    rows = "".join(f"Köln,{n};{n / 7:.3f};{'ab'[n % 2]}\n" for n in range(60))
    (tmp_path / "table.csv").write_bytes(f"ort;amount;label\n{rows}".encode("latin-1"))
    text = scaffold_spec(tmp_path / "table.csv", tmp_path, reading=Reading(";", ",", "latin-1"))
    (tmp_path / "spec.yaml").write_text(text)
    spec = load_spec(tmp_path / "spec.yaml")
    assert (spec.separator, spec.decimal, spec.encoding) == (";", ",", "latin-1")
    assert len(load_dataset(spec).train) == 42


def test_init_takes_what_points_mean(tmp_path: Path) -> None:
    rows = "".join(
        f"{price};{n * n % 11};{'ab'[n % 2]}\n" for n, price in enumerate(["1.500", "999", "2.750"] * 20)
    )
    (tmp_path / "table.csv").write_text(f"price;size;label\n{rows}")
    arguments = [
        "init",
        str(tmp_path / "table.csv"),
        "--label",
        "label",
        "--out",
        str(tmp_path / "spec.yaml"),
    ]
    asked = CliRunner().invoke(main, arguments)
    assert "#   price: '1.500' may be 1.5 or 1500; say which, as in `decimal: ','`" in asked.output
    told = CliRunner().invoke(main, [*arguments, "--decimal", ",", "--overwrite"])
    assert "price" in told.output.partition("modalities:")[2]
    spec = load_spec(tmp_path / "spec.yaml")
    [columns] = load_dataset(spec).modalities.values()
    assert isinstance(columns, TabularModality)
    assert {each.name: each.mean > 500 for each in columns.columns if isinstance(each, NumberColumn)} == {
        "price": True, "size": False,
    }  # fmt: skip
