"""From a spec and a real small table to arrays."""

import io
import logging
from typing import Any

import numpy as np
import polars as pl
import pytest
from PIL import Image
from tailfuse.data.arrays import make_split_arrays
from tailfuse.errors import TableError


@pytest.mark.parametrize("table", ["table.csv", "table.parquet"])
def test_a_table_becomes_arrays(lesions: Any, table: str) -> None:
    lesions.table = table
    dataset = lesions.load()
    assert [(info.name, info.train_count, info.shot) for info in dataset.classes] == [
        ("df", 2, "few"),
        ("mel", 4, "medium"),
        ("nv", 6, "many"),
    ]
    assert (len(dataset.train), len(dataset.val), len(dataset.test)) == (12, 6, 6)
    assert dataset.train.modalities == ["image", "clinical", "notes"]
    batch = dataset.train.batch()
    assert batch.presence.all()
    assert (batch.inputs["image"].shape, batch.inputs["image"].dtype) == ((12, 3, 12, 16), np.uint8)
    assert (batch.inputs["clinical"].shape, batch.inputs["clinical"].dtype) == ((12, 4), np.float32)
    assert (batch.inputs["notes"].ndim, batch.inputs["notes"].dtype) == (3, np.int32)
    # Row 1 is an nv: red, twenty years old, male, a smoker.
    assert dataset.train.labels[0] == 2
    assert batch.inputs["image"][0, :, 0, 0].tolist() == [200, 40, 40]
    age, *_, smoker = batch.inputs["clinical"][0]
    assert age < -1
    assert smoker == 1.0
    assert batch.inputs["clinical"][:, 0].mean() == pytest.approx(0, abs=1e-6)


def test_rows_may_lack_modalities_and_values(lesions: Any) -> None:
    lesions.rows[0]["image"] = None
    lesions.rows[1]["note"] = "   "
    lesions.rows[2] |= {"age": None, "sex": None, "smoker": None}
    lesions.rows[3]["age"] = None
    dataset = lesions.load()
    assert dataset.train.presence()[0].tolist() == [False, True, True]
    assert dataset.test.presence()[0].tolist() == [True, True, False]
    assert dataset.train.presence()[1].tolist() == [True, False, True]
    assert dataset.val.presence()[0].tolist() == [True, True, True]


def test_rows_without_any_modality_are_left_out_with_a_warning(
    lesions: Any, caplog: pytest.LogCaptureFixture
) -> None:
    for row in (lesions.rows[0], lesions.rows[5]):
        row |= dict.fromkeys(("image", "age", "sex", "smoker", "note"))
    with caplog.at_level(logging.WARNING, "tailfuse"):
        dataset = lesions.load()
    assert (len(dataset.train), len(dataset.val), len(dataset.test)) == (11, 6, 5)
    assert {info.name: info.train_count for info in dataset.classes} == {"df": 2, "mel": 4, "nv": 5}
    assert caplog.messages == ["2 rows have no modality and are left out; the first is row 1"]


def test_if_nothing_is_left_of_a_part_or_a_class_it_is_named(lesions: Any) -> None:
    nothing = dict.fromkeys(("image", "age", "sex", "smoker", "note"))
    for row in lesions.rows:
        if row["split"] == "val":
            row |= nothing
    with pytest.raises(TableError, match="split: no row of val has a modality"):
        lesions.load()
    for row in lesions.rows:
        if row["split"] == "val":
            row |= {"age": 1}
        if row["split"] == "train" and row["label"] == "df":
            row |= nothing
    with pytest.raises(TableError, match="label: class 'df': no training row has a modality"):
        lesions.load()


def test_val_and_test_do_not_change_what_is_fitted(lesions: Any) -> None:
    before = lesions.load().modalities
    for row in lesions.rows:
        if row["split"] != "train":
            row |= {"age": 99, "sex": "other"}
    assert lesions.load().modalities == before


def test_fractions_keep_groups_together_and_repeat_with_the_seed(lesions: Any) -> None:
    override = "split={val: 0.25, test: 0.25, group: lesion_id}"
    one, two = lesions.load(override), lesions.load(override)
    assert one.test.labels.tolist() == two.test.labels.tolist()
    assert {len(part) % 2 for part in (one.train, one.val, one.test)} == {0}


def test_progress_is_told_for_every_modality(lesions: Any) -> None:
    told = []
    lesions.load(on_progress=lambda *each: told.append(each))
    assert told == [("image", 24, 24), ("clinical", 24, 24), ("notes", 24, 24)]


def no_table(lesions: Any) -> Any:
    return "table=missing.csv"


def no_column(lesions: Any) -> Any:
    return "modalities.clinical.columns=[age, sexx]"


def only_in_test(lesions: Any) -> Any:
    for row in lesions.rows:
        if row["split"] == "test" and row["label"] == "df":
            row["label"] = "vasc"
    lesions.rows[1]["label"] = "vasc"
    return "seed=0"


def no_picture(lesions: Any) -> Any:
    lesions.rows[16]["image"] = "images/none.png"
    return "seed=0"


def broken_picture(lesions: Any) -> Any:
    (lesions.folder / "images/16.png").write_bytes(b"\x89PNG broken")
    return "seed=0"


def all_missing(lesions: Any) -> Any:
    lesions.column("age", [None if row["split"] == "train" else 3 for row in lesions.rows])
    return "seed=0"


def infinite(lesions: Any) -> Any:
    lesions.column("age", [1.5] * 16 + [float("inf")] + [2.5] * 7)
    return "seed=0"


def label_leak(lesions: Any) -> Any:
    return "modalities.clinical.columns=[age, label]"


def split_leak(lesions: Any) -> Any:
    return "modalities.clinical.columns=s*"


def group_leak(lesions: Any) -> Any:
    return "modalities.notes.columns=lesion_id"


CASES = {
    no_table: "table: {folder}/missing.csv: no such file",
    no_column: "modalities.clinical.columns: the table has no column 'sexx'; did you mean 'sex'?",
    only_in_test: "label: column 'label': class 'vasc' has no training row; row 2 is in test. "
    "Move a row of each to train, or merge rare classes by min_rows in the spec",
    no_picture: "modality 'image': 1 of 24 files cannot be read: row 17, column 'image' (images/none.png): "
    "no such file or directory (modalities.image.unreadable: missing counts them as missing)",
    broken_picture: "modality 'image': 1 of 24 files cannot be read: row 17, column 'image' (images/16.png): "
    "the bytes are not an image that can be read "
    "(modalities.image.unreadable: missing counts them as missing)",
    all_missing: "modality 'clinical', column 'age': missing in every training row",
    infinite: "modality 'clinical', column 'age': 23 of 24 values are numbers, but row 17 is 'inf'; "
    "correct it, list it under `missing:`, take such cells as missing by `unreadable: missing`, or say "
    "`types: {{age: category}}`",
    label_leak: "modalities.clinical: column 'label' is the spec's label; leave it out",
    split_leak: "modalities.clinical: column 'split' is the spec's split; leave it out",
    group_leak: "modalities.notes: column 'lesion_id' is the spec's split.group; leave it out",
}


@pytest.mark.parametrize("break_it", CASES, ids=lambda case: case.__name__)
def test_a_wrong_table_is_named_by_key_column_and_row(lesions: Any, break_it: Any) -> None:
    override = break_it(lesions)
    lesions.spec = lesions.spec.replace(", smoker]", "]")
    if break_it is group_leak:
        lesions.spec = lesions.spec.replace("split: split", "split: {group: lesion_id}")
    with pytest.raises(TableError) as caught:
        lesions.load(override)
    assert str(caught.value) == CASES[break_it].format(folder=lesions.folder)


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_pictures_may_lie_in_the_table_itself(lesions: Any, kind: str) -> None:
    for number, row in enumerate(lesions.rows):
        file = io.BytesIO()
        Image.new("L", (16, 12), number * 10).save(file, kind)
        row["image"] = file.getvalue()
    lesions.table = "table.parquet"
    dataset = lesions.load()
    assert dataset.modalities["image"].channels == 1
    assert dataset.train.batch().inputs["image"][1].tolist() == np.full((1, 12, 16), 20).tolist()


def test_a_broken_picture_in_a_row_that_is_not_used_does_not_matter(lesions: Any) -> None:
    lesions.rows[16] |= {"split": None, "image": "images/none.png", "label": None}
    assert sum(map(len, (lesions.load().train, lesions.load().val, lesions.load().test))) == 23


def test_another_table_is_read_with_the_fitted_modalities(lesions: Any) -> None:
    modalities = lesions.load().modalities
    table = pl.DataFrame({"age": [50, None], "sex": ["other", None], "smoker": [None, "true"]})
    part = make_split_arrays(table, modalities, lesions.folder)
    assert part.presence().tolist() == [[False, True, False], [False, True, False]]
    assert part.labels.tolist() == [-1, -1]
    assert part.inputs["image"].shape == (0, 3, 12, 16)
    assert part.inputs["clinical"][:, 1:].tolist() == [[0, 0, 0], [0, 0, 1]]


def test_another_table_that_has_half_of_a_modality_is_refused(lesions: Any) -> None:
    modalities = lesions.load().modalities
    table = pl.DataFrame({"age": [50], "gender": ["male"], "smoker": [True]})
    with pytest.raises(TableError, match="modality 'clinical': the table has no column 'sex'"):
        make_split_arrays(table, modalities, lesions.folder)


def test_parts_of_some_rows_say_the_tables_row_numbers(lesions: Any) -> None:
    modalities = lesions.load().modalities
    table = pl.DataFrame({"image": ["images/0.png", "images/none.png", "images/2.png"]})
    assert len(make_split_arrays(table, modalities, lesions.folder, rows=np.array([0, 2]))) == 2
    with pytest.raises(TableError, match=r"row 2, column 'image' .images/none\.png"):
        make_split_arrays(table, modalities, lesions.folder, rows=np.array([1, 2]))
