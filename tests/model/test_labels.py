"""Labels as people write them: gaps, single rows, rare classes to merge, numbers, and near-equal names."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tailfuse.data.labelled import labelled_part
from tailfuse.data.labels import load_labels
from tailfuse.errors import SpecError, TableError
from tailfuse.spec.schema import Spec, load_spec
from tailfuse_service.bundle import read_manifest


def make_spec(**keys: Any) -> Spec:
    document = {"name": "n", "table": "t.csv", "label": "y", "modalities": {"x": TABULAR}, **keys}
    return Spec.model_validate(document)


TABULAR = {"kind": "tabular", "columns": "x"}


def load(values: list[Any], *, columns: dict[str, Any] | None = None, **keys: Any) -> list[str | None]:
    table = pl.DataFrame({"y": values, **(columns or {})}, strict=False)
    return load_labels(table, make_spec(**keys)).to_list()


def read_messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records]


def test_rows_without_a_label_are_counted_and_the_first_is_named(caplog: pytest.LogCaptureFixture) -> None:
    load(["a", None, "b", "", "  ", "a"])
    assert read_messages(caplog) == [
        "label: skipped 3 rows without a label in column 'y'; the first is row 2"
    ]


def test_unlabelled_rows_without_a_part_are_not_counted(caplog: pytest.LogCaptureFixture) -> None:
    load(["a", None, "b", "a", None], columns={"part": ["train", None, "test", "test", "val"]}, split="part")
    assert read_messages(caplog) == ["label: skipped 1 row without a label in column 'y'; the first is row 5"]


def test_a_column_without_any_label_is_refused() -> None:
    with pytest.raises(TableError, match="label: column 'y' has no value in any of 3 rows"):
        load([None, "", " "])


def test_one_class_is_refused() -> None:
    with pytest.raises(TableError, match="label: column 'y' has one class, 'a'; at least two are needed"):
        load(["a", " a ", None])


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        (["Cat"] * 3 + ["cat"], "'Cat' (3 rows) and 'cat' (1 row)"),
        (["basal cell", "basal  cell"], "'basal  cell' (1 row) and 'basal cell' (1 row)"),
        (["basal cell", "basal\u00a0cell"], r"'basal cell' (1 row) and 'basal\xa0cell' (1 row)"),
        (["STRASSE", "straße"], "'STRASSE' (1 row) and 'straße' (1 row)"),
        (["No", "no", "NO"], "'NO' (1 row) and 'No' (1 row) and 'no' (1 row)"),
        (["1", "1.0", "1"], "'1' (2 rows) and '1.0' (1 row)"),
        (["-1", "\u22121"], "'-1' (1 row) and '\u22121' (1 row)"),
        (["cat", "cat\u200b"], r"'cat' (1 row) and 'cat\u200b' (1 row)"),
        (["a-b", "a\u2010b"], "'a-b' (1 row) and 'a\u2010b' (1 row)"),
        (["\ufb01r", "fir"], "'fir' (1 row) and '\ufb01r' (1 row)"),
    ],
)
def test_names_that_look_alike_or_spell_one_number_are_warned_of(
    caplog: pytest.LogCaptureFixture, names: list[str], shown: str
) -> None:
    load([*names, "other thing"])
    assert read_messages(caplog) == [
        "label: column 'y' has classes whose names differ only in case, spaces, invisible or similar "
        f"characters, or spell one number; each counts as a class of its own: {shown}"
    ]


def test_codes_that_begin_with_0_are_no_numbers(caplog: pytest.LogCaptureFixture) -> None:
    load(["01", "1", "a b", "ab"])
    assert not read_messages(caplog)


def test_spaces_around_a_label_are_no_part_of_it(caplog: pytest.LogCaptureFixture) -> None:
    assert load(["a", " a", "b\t", "b", "c ", "c"]) == ["a", "a", "b", "b", "c", "c"]


def test_an_accent_is_one_letter_however_it_is_encoded(caplog: pytest.LogCaptureFixture) -> None:
    assert load(["caf\u00e9", "cafe\u0301", "tea"]) == ["caf\u00e9", "caf\u00e9", "tea"]
    assert not read_messages(caplog)


@pytest.mark.parametrize("fraction", [0.25, 0.015625, 1e-7])
def test_a_measured_quantity_is_refused(fraction: float) -> None:
    with pytest.raises(TableError, match=r"61 different numbers in 61 rows, such as .*: is this a quantity"):
        load([number + fraction for number in range(61)])


@pytest.mark.parametrize(
    "values",
    [
        list(range(20, 81)) * 2,  # ages
        [number / 2 for number in range(61)] * 2,  # half steps, each twice
        [f"{number}" for number in range(61)] * 2,
    ],
    ids=["ages", "half steps", "strings"],
)
def test_many_numbers_are_asked_about(caplog: pytest.LogCaptureFixture, values: list[Any]) -> None:
    load(values)
    assert read_messages(caplog) == [
        "label: column 'y' has 61 different numbers in 122 rows: is this a quantity? tailfuse classifies: "
        "each number becomes a class of its own, and their order is not used"
    ]


@pytest.mark.parametrize(
    "values",
    [
        list(range(10)) * 3,
        [1.5, 1.5, 2.5, 2.5, 3.5],
        [f"species {number}" for number in range(61)],
        [*map(str, range(40)), "unknown"],
    ],
    ids=["digits", "grades", "names", "one is no number"],
)
def test_codes_and_names_are_classes(caplog: pytest.LogCaptureFixture, values: list[Any]) -> None:
    load(values)
    assert not read_messages(caplog)


def test_rare_classes_are_merged(caplog: pytest.LogCaptureFixture) -> None:
    labels = ["a"] * 5 + ["b"] * 3 + ["c"] * 2 + ["d", None]
    merged = load(labels, min_rows=3, other="rare")
    assert merged == ["a"] * 5 + ["b"] * 3 + ["rare"] * 3 + [None]
    assert read_messages(caplog)[1:] == [
        "min_rows: 2 classes with fewer than 3 rows, 3 rows in all, become 'rare': 'c', 'd'"
    ]


def test_a_class_that_is_named_other_already_keeps_its_rows(caplog: pytest.LogCaptureFixture) -> None:
    assert load(["a", "a", "other", "b"], min_rows=2) == ["a", "a", "other", "other"]
    assert read_messages(caplog) == [
        "min_rows: 1 class with fewer than 2 rows, 1 row in all, become 'other'; 'other' has 1 row "
        "of its own: 'b'"
    ]


def test_only_rows_of_a_part_count_for_the_merge() -> None:
    parts = ["train", "test", "train", "test", "train", None, None]
    merged = load(["a", "a", "b", "b", "c", "c", "d"], columns={"part": parts}, split="part", min_rows=2)
    assert merged == ["a", "a", "b", "b", "other", "other", "other"]


def test_merging_every_class_leaves_one_which_is_refused() -> None:
    with pytest.raises(TableError, match="has one class, 'other'"):
        load(["a", "b", "c"], min_rows=5)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ("other: rest", "other: names the class that rare classes become; it needs min_rows"),
        ("min_rows: 1", "min_rows: input should be greater than or equal to 2"),
        ("min_rows: few", "min_rows: input should be a valid integer"),
        ('min_rows: 2\nother: ""', "other: string should have at least 1 character"),
    ],
)
def test_wrong_keys_are_named(tmp_path: Path, keys: str, said: str) -> None:
    lines = f"name: n\ntable: t.csv\nlabel: y\n{keys}\nmodalities: {{x: {{kind: tabular, columns: x}}}}\n"
    (tmp_path / "spec.yaml").write_text(lines)
    with pytest.raises(SpecError) as caught:
        load_spec(tmp_path / "spec.yaml")
    assert said.lower() in str(caught.value).lower()
    assert len(str(caught.value).splitlines()) == 1


def write_long_tail(path: Path) -> pl.DataFrame:
    """Turn five of the leaves into classes of their own, and take the label from two."""
    table = pl.read_csv(path.parent / "table.csv")
    labels = table["label"].to_list()
    for row, name in ((0, "fir"), (10, "yew"), (20, "box"), (30, "bay"), (35, "fig")):
        labels[row] = name
    labels[3] = labels[7] = None
    table = table.with_columns(pl.Series("label", labels))
    table.write_csv(path.parent / "table.csv")
    return table


@pytest.mark.slow
def test_classes_with_one_row_train_and_are_named(
    tmp_path: Path, leaves_in: Callable[..., Path], trained_by: Callable[..., Any],
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    path = leaves_in(tmp_path)
    write_long_tail(path)
    done = trained_by(path, tmp_path / "run", "split={val: 0.1, test: 0.2}", "training.epochs=2")
    single = {"bay", "box", "fig", "fir", "yew"}
    counts = {info.name: info.train_count for info in done.dataset.classes}
    assert {name for name, count in counts.items() if count == 1} == single
    assert len(done.dataset.train) + len(done.dataset.val) + len(done.dataset.test) == 118
    assert (
        "label: 5 classes have one row only, used for training, so that no row is left to evaluate them "
        "(min_rows in the spec merges rare classes): 'bay', 'box', 'fig', 'fir', 'yew'"
    ) in read_messages(caplog)
    card = (done.bundle / "MODEL_CARD.md").read_text()
    assert "5 classes have no evaluated row, and no figure here says anything of them" in card
    report = (done.bundle / "report.html").read_text()
    assert "5 classes have no row here, and no figure says anything of them" in report
    assert not re.search(r">\s*nan\b", report)  # the spec's own words for missing values have it


@pytest.mark.slow
def test_a_bundle_knows_which_labels_were_merged(
    tmp_path: Path, leaves_in: Callable[..., Path], trained_by: Callable[..., Any],
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    path = leaves_in(tmp_path)
    write_long_tail(path)
    keys = ("split={val: 0.1, test: 0.2}", "training.epochs=2", "min_rows=4", "other=rare")
    done = trained_by(path, tmp_path / "run", *keys)
    manifest = read_manifest(done.bundle)
    assert manifest.merged_labels == dict.fromkeys(["bay", "box", "fig", "fir", "yew"], "rare")
    assert manifest.class_names == ["ash", "elm", "oak", "rare"]
    test = labelled_part(manifest, tmp_path / "table.csv", "test")
    assert test.labels.tolist() == done.dataset.test.labels.tolist()
    caplog.clear()
    everything = labelled_part(manifest, tmp_path / "table.csv")
    assert len(everything) == 118
    assert "label: skipped 2 rows without a label in column 'label'; the first is row 4" in read_messages(
        caplog
    )
