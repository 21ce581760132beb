"""A first spec is what a person would write, and it loads."""

import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tailfuse.data.dataset import load_dataset
from tailfuse.data.scaffold import make_unique, scaffold_spec
from tailfuse.data.split_arrays import Dataset
from tailfuse.errors import TableError
from tailfuse.modalities import ImageSpec, SeriesSpec, TabularSpec, TextSpec
from tailfuse.modalities.spec import ModalitySpec
from tailfuse.spec.schema import RESERVED_NAMES, Spec, SplitSpec, load_spec
from tailfuse_service.modalities import TabularModality


def init(folder: Path, columns: dict[str, Any], name: str = "table.parquet") -> tuple[str, Spec, Dataset]:
    """The first spec of a table, and what it loads as."""
    table = pl.DataFrame(columns)
    path = folder / name
    if path.suffix == ".csv":
        table.write_csv(path)
    else:
        table.write_parquet(path)
    text = scaffold_spec(path, folder)
    (folder / "spec.yaml").write_text(text, "utf-8")
    spec = load_spec(folder / "spec.yaml")
    return text, spec, load_dataset(spec)


def columns_by_modality(spec: Spec) -> dict[str, Any]:
    return {name: named_columns(each) for name, each in spec.modalities.items()}


def named_columns(modality: ModalitySpec) -> str | tuple[str, ...]:
    if isinstance(modality, ImageSpec):
        return modality.column
    assert isinstance(modality, SeriesSpec | TabularSpec | TextSpec)
    return modality.columns


@pytest.fixture
def numbers() -> dict[str, Any]:
    """60 rows: a label with a tail, and two columns."""
    return {"y": ["a"] * 40 + ["b"] * 20, "age": list(range(20, 80))[::-1], "sex": ["m", "f", "f"] * 20}


@pytest.mark.parametrize("table", ["table.csv", "table.parquet"])
def test_a_table_of_lesions_is_understood(lesions: Any, table: str) -> None:
    lesions.table = table
    lesions.write()
    text = scaffold_spec(lesions.folder / table, lesions.folder)
    lesions.spec = text
    dataset = lesions.load()
    assert {name: modality.kind for name, modality in dataset.modalities.items()} == {
        "image": "image",
        "tabular": "tabular",
        "text": "text",
    }
    assert f"from looking at {table}: 24 rows, 8 columns" in text
    assert "3 classes, imbalance ratio 3.0: nv 12, mel 8, df 4." in text
    assert "split: split  # its values are train, val, test" in text
    assert "image: {kind: image, column: image, size: [15, 20]}  # the first: 15 high, 20 wide" in text
    assert "tabular: {kind: tabular, columns: [age, sex, smoker]}" in text
    assert "# Rows of one lesion_id are in several parts." in text
    assert "lesion_id: it looks like an identifier" in text


def test_numbered_columns_become_modalities_of_their_own(tmp_path: Path, numbers: dict[str, Any]) -> None:
    for stem, count in (("fou_", 12), ("mor", 3), ("image_", 4), ("few_", 2)):
        numbers |= {f"{stem}{number}": np.random.default_rng(number).random(60) for number in range(count)}
    numbers["mortal"] = [True, False] * 30
    _, spec, dataset = init(tmp_path, numbers)
    assert columns_by_modality(spec) == {
        "fou": ("fou_*",),
        "mor": ("mor[0-9]*",),
        "image": ("image_*",),
        "tabular": ("age", "sex", "few_0", "few_1", "mortal"),
    }
    fou = dataset.modalities["fou"]
    assert isinstance(fou, TabularModality)
    assert fou.width == 12


def test_a_family_with_a_stranger_is_listed_by_name(tmp_path: Path, numbers: dict[str, Any]) -> None:
    numbers |= {"q1": [1, 2, 3] * 20, "q2": [1, 2, 3] * 20, "q3": [1, 2, 3] * 20, "q4": [None] * 60}
    _, spec, _ = init(tmp_path, numbers)
    assert columns_by_modality(spec)["q"] == ("q1", "q2", "q3")


def test_pictures_in_the_table_are_found(tmp_path: Path, numbers: dict[str, Any]) -> None:
    file = io.BytesIO()
    Image.new("L", (15, 16), 7).save(file, "PNG")
    _, spec, dataset = init(tmp_path, {**numbers, "my picture": [file.getvalue()] * 60})
    assert columns_by_modality(spec)["my_picture"] == "my picture"
    assert dataset.train.inputs["my_picture"].shape[1:] == (1, 16, 15)


def test_series_are_found_in_lists_and_in_files(tmp_path: Path, numbers: dict[str, Any]) -> None:
    np.save(tmp_path / "a.npy", np.zeros((300, 2)))
    more = {
        "heart beat": [[1.0, 2.0, 3.0]] * 60,
        "recording": ["a.npy"] * 60,
        "gone": ["b.wav"] * 60,
        "names": [["a"]] * 60,
    }
    text, spec, dataset = init(tmp_path, numbers | more)
    assert (
        '  heart_beat: {kind: series, column: "heart beat", length: 256}  # the first: 3 steps, 1 channel\n'
        in text
    )
    assert (
        "  recording: {kind: series, column: recording, length: 256}  # the first: 300 steps, 2 channels\n"
        in text
    )
    assert "#   gone: it looks like series, but the first one cannot be read\n" in text
    assert "#   names: it holds list\n" in text
    assert dataset.train.inputs["recording"].shape[1:] == (256, 3)
    assert columns_by_modality(spec)["heart_beat"] == ("heart beat",)


def test_lists_of_the_same_lengths_are_the_channels_of_one_series(
    tmp_path: Path, numbers: dict[str, Any]
) -> None:
    lists = [[0.5] * (3 + number % 4) for number in range(60)]
    text, _, dataset = init(tmp_path, {**numbers, "ax": lists, "ay": lists, "az": lists})
    assert "  series: {kind: series, columns: [ax, ay, az], length: 256}  # the first: 3 steps\n" in text
    assert dataset.train.inputs["series"].shape[1:] == (6, 4)


def test_lists_in_a_csv_are_found(tmp_path: Path, numbers: dict[str, Any]) -> None:
    _, spec, dataset = init(tmp_path, {**numbers, "trace": ["[1, 2.5]"] * 60}, "table.csv")
    assert columns_by_modality(spec)["trace"] == ("trace",)
    assert dataset.train.inputs["trace"].shape[1:] == (2, 2)


def test_a_group_is_used_where_there_is_no_split(tmp_path: Path, numbers: dict[str, Any]) -> None:
    text, spec, _ = init(tmp_path, {**numbers, "patient_id": [number // 2 for number in range(60)]})
    assert spec.split == SplitSpec(group="patient_id")
    assert "patient_id repeats: its rows stay together" in text


def test_what_cannot_be_learnt_from_is_left_out_and_said(tmp_path: Path, numbers: dict[str, Any]) -> None:
    left_out = {
        "id": list(range(60)),
        "": [3, 4] * 30,
        "counter": list(range(1, 61)),
        "code": [f"x{number}" for number in range(60)],
        "photo": ["gone.jpg"] * 60,
        "when": [None] * 60,
        "parts": [{"a": 1}] * 60,
        "odd": [float("inf")] + [1.0] * 59,
    }
    text, spec, _ = init(tmp_path, numbers | left_out)
    assert columns_by_modality(spec) == {"tabular": ("age", "sex")}
    tail = text[text.index("# Left out:") :]
    assert [line.split(":")[0] for line in tail.splitlines()[1:]] == [
        '#   ""' if name == "" else f"#   {name}" for name in left_out
    ]
    assert "photo: it looks like images, but the first one cannot be opened" in tail


def test_numbers_with_an_odd_string_are_numbers_and_the_cell_is_named(
    tmp_path: Path, numbers: dict[str, Any]
) -> None:
    numbers["v1"] = [f"{number}.5" for number in range(59)] + ["<0.5"]
    text, _, dataset = init(tmp_path, numbers, "table.csv")
    assert "types: {v1: number}, unreadable: missing}" in text
    assert (
        "  # v1 is read as a number: 59 of 60 values are numbers, but row 60 is '<0.5'; "
        "such cells are taken as missing (`unreadable`)\n"
    ) in text
    assert dataset.train.inputs["tabular"].shape[1] > 3


def test_a_guessed_label_says_so(tmp_path: Path, numbers: dict[str, Any]) -> None:
    numbers["verdict"] = numbers.pop("y")
    text, spec, _ = init(tmp_path, {**numbers, "sex": [number % 3 for number in range(60)]})
    assert spec.label == "verdict"
    assert "label: verdict  # a guess: check it" in text


def test_names_that_yaml_would_misread_are_quoted(tmp_path: Path, numbers: dict[str, Any]) -> None:
    numbers |= {
        "null": [1, 2] * 30,
        "a: b, c #": [3, 4] * 30,
        "Größe [cm]": [1.5, 2.5] * 30,
        "no": [5, 6] * 30,
    }
    _, spec, _ = init(tmp_path, numbers, "Meine Tabelle.csv")
    assert spec.name == "meine-tabelle"
    assert columns_by_modality(spec) == {"tabular": ("age", "sex", "null", "a: b, c #", "Größe [cm]", "no")}


# What YAML ends a line at, refuses or reads as a sign of its own, at every place of a name.
characters = st.sampled_from([chr(code) for code in range(0xA1)] + list("\u2028\u2029\ufeff\uffff\u200b😀é"))
odd_names = st.text(characters, min_size=1, max_size=6)


@settings(max_examples=200)
@given(odd_names, odd_names, odd_names)
def test_a_first_spec_names_any_columns_and_classes(
    tmp_path_factory: Any, first: str, second: str, name: str
) -> None:
    folder = tmp_path_factory.mktemp("names")
    columns = {f"{first}w1x": [1.5, 2.5, 4.5] * 20, f"w{second}w2x": [3.5, 4.5, 9.5, 1.5] * 15}
    labels = ["a"] * 30 + [f"b{name}b"] * 30
    pl.DataFrame({"y": labels, **columns, "same": [f"{name}b"] * 60}).write_parquet(folder / "t.parquet")
    text = scaffold_spec(folder / "t.parquet", folder)
    (folder / "spec.yaml").write_text(text, "utf-8", newline="")
    spec = load_spec(folder / "spec.yaml")
    assert columns_by_modality(spec) == {"tabular": tuple(columns)}
    counts = text.split("\n")[1].partition(": ")[2]
    assert sorted(yaml.safe_load(f"[{part}]")[0] for part in split_counts(counts)) == sorted(set(labels))


def split_counts(counts: str) -> list[str]:
    """The quoted names of `"b: b" 30, a 30.`, each without its count."""
    return [match[0] for match in re.finditer(r'"(?:[^"\\]|\\.)*"(?= 30)|[\w./-]+(?= 30)', counts)]


def test_the_table_is_named_from_where_the_spec_will_lie(tmp_path: Path, numbers: dict[str, Any]) -> None:
    (tmp_path / "data").mkdir()
    pl.DataFrame(numbers).write_parquet(tmp_path / "data" / "table.parquet")
    text = scaffold_spec(tmp_path / "data" / "table.parquet", tmp_path)
    assert "\nname: data\ntable: data/table.parquet\n" in text


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"x": list(range(9))}, "no column looks like a label"),
        ({"y": ["a", "b"] * 6}, "no column is left to learn from beside 'y'"),
    ],
)
def test_a_table_that_cannot_be_learnt_from_is_named(
    tmp_path: Path, columns: dict[str, Any], said: str
) -> None:
    pl.DataFrame(columns).write_csv(tmp_path / "t.csv")
    with pytest.raises(TableError, match=rf"t\.csv: {said}"):
        scaffold_spec(tmp_path / "t.csv")


@pytest.mark.parametrize("stem", RESERVED_NAMES)
def test_a_modality_gets_no_name_that_is_reserved(stem: str) -> None:
    taken: set[str] = set()
    assert make_unique(stem, taken) == f"m_{stem}"
    assert make_unique(f"{stem}_", taken) == f"m_{stem}_2"
