"""Tables of packages become datasets of the bench."""

import json
from pathlib import Path

import polars as pl
import pytest
import unseen
from tailfuse_bench.datasets import read_own

NOUNS = """\
  1 This software and database is being provided to you, the LICENSEE, by
00001740 03 n 01 entity 0 003 ~ 00001930 n 0000 ~ 00002137 n 0000 ~ 04424418 n 0000 | that which is perceived
01322604 05 n 0a dog 0 Canis_familiaris 0 a 0 b 0 c 0 d 0 e 0 f 0 g 0 h 0 001 @ 1 n 0000 | a pet
"""


def test_a_noun_has_its_words_gloss_and_counts(tmp_path: Path) -> None:
    (tmp_path / "data.noun").write_text(NOUNS)
    entity, dog = unseen.read_nouns(tmp_path / "data.noun").to_dicts()
    assert entity["label"] == "top"
    assert entity["pointers"] == 3
    assert dog["label"] == "animal"
    assert dog["words"].startswith("dog, Canis familiaris, a, ")
    assert dog["synonyms"] == 10
    assert dog["gloss"] == "a pet"


def test_of_emoji_those_with_an_image_are_rows(tmp_path: Path) -> None:
    images = tmp_path / "img" / "twitter" / "64"
    images.mkdir(parents=True)
    (images / "1.png").write_bytes(b"png")
    (images / "2.png").write_bytes(b"png")
    each = [
        {"image": "1.png", "name": "RED FOX", "subcategory": "animal"},
        {"image": "2.png", "name": None, "subcategory": "sign"},
        {"image": "3.png", "name": "LOST", "subcategory": "sign"},
    ]
    (tmp_path / "emoji.json").write_text(json.dumps(each))
    assert unseen.read_emoji(tmp_path).select("label", "name").rows() == [
        ("animal", "red fox"),
        ("sign", None),
    ]


def test_cells_of_keel_may_be_missing_and_the_last_is_the_label(tmp_path: Path) -> None:
    (tmp_path / "toy.dat").write_text("A11, 6, <null>, yes\nA12,?, 0.5, no\n\n")
    assert unseen.read_keel(tmp_path / "toy.dat").to_dicts() == [
        {"v1": "A11", "v2": "6", "v3": None, "label": "yes"},
        {"v1": "A12", "v2": None, "v3": "0.5", "label": "no"},
    ]


def test_modalities_begin_with_their_first_column() -> None:
    columns = unseen.split_columns(["a", "b", "c", "d"], {"one": "a", "two": "c"})
    assert columns == {"one": ["a", "b"], "two": ["c", "d"]}


@pytest.mark.parametrize("thin", [False, True])
def test_small_classes_are_left_out_and_test_rows_are_not_thinned(thin: bool) -> None:
    labels = ["a"] * 200 + ["b"] * 200 + ["c"] * 5
    rows = unseen.choose_rows(pl.DataFrame({"label": labels, "x": range(405)}), 6, thin=thin)
    counts = {key: len(part) for key, part in rows.group_by("label", "split")}
    assert {label for label, _ in counts} == {"a", "b"}
    assert counts["a", "test"] == counts["b", "test"] == 60
    train = sorted((counts["a", "train"], counts["b", "train"]))
    assert train == ([2, 110] if thin else [110, 110])


def test_what_is_written_is_a_dataset_of_the_bench(tmp_path: Path) -> None:
    table = pl.DataFrame({"label": ["a", "b"], "split": ["train", "test"], "x": [1.0, 2.0]})
    unseen.write_dataset(tmp_path / "toy", table, {"all": {"kind": "tabular", "columns": ["x"]}})
    own = read_own(tmp_path / "toy")
    assert (own.name, list(own.modalities)) == ("toy", ["all"])
