"""The stamps of an unpacked Debian package as a table."""

from pathlib import Path

import polars as pl
import pytest
from PIL import Image
from tailfuse_bench.datasets import DATASETS, STAMPS
from tailfuse_bench.selection import select_datasets
from tailfuse_bench.stamps import PACKAGE_FOLDER, find_stamps, read_description, write_stamps


def add_stamp(stamps: Path, name: str, text: bytes | None) -> Path:
    image = stamps / f"{name}.png"
    image.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGBA", (4, 4), (255, 0, 0, 128)).save(image)
    if text is not None:
        image.with_suffix(".txt").write_bytes(text)
    return image


@pytest.fixture
def data(tmp_path: Path) -> Path:
    stamps = tmp_path / STAMPS / PACKAGE_FOLDER
    for at in range(30):
        add_stamp(stamps, f"animals/birds/{at}", f"A bird, number {at}.\nfr.utf8=Un oiseau.\n".encode())
        add_stamp(stamps, f"town/{at}", b"A house." if at % 2 else b"a HOUSE.")
    add_stamp(stamps, "animals/birds/0_mirror", None)
    (stamps / "animals" / "birds" / "0.ogg").touch()
    return tmp_path


def test_folders_are_classes_and_descriptions_english(data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "table"
    write_stamps(data / STAMPS / PACKAGE_FOLDER, folder)
    table = pl.read_parquet(folder / "table.parquet")
    assert table.columns == ["label", "split", "description", "image"]
    assert dict(table["label"].value_counts().iter_rows()) == {"animals": 31, "town": 30}
    assert set(table["split"]) == {"train", "val", "test"}
    birds = table.filter(pl.col("label") == "animals")
    assert set(birds["description"]) == {f"A bird, number {at}." for at in range(30)}
    # Equal descriptions, and a stamp and its mirror image, are never on both sides of the split.
    parts = table.group_by(pl.col("description").str.to_lowercase()).agg(pl.col("split").n_unique())
    assert parts["split"].to_list() == [1] * len(parts)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"A cat.\nfr.utf8=Un chat.\n", "A cat."),
        (b"  A cat. \r\nmore", "A cat."),
        (b"", None),
        (b"\nfr.utf8=Un chat.", None),
        (b"A caf\xe9.", "A caf\ufffd."),
        (None, None),
    ],
)
def test_the_first_line_is_the_description(tmp_path: Path, text: bytes | None, expected: str | None) -> None:
    image = add_stamp(tmp_path, "animals/cat", text)
    assert read_description(image) == expected
    assert read_description(image.with_name("cat_mirror.png")) == expected


def test_the_unpacked_package_is_found_and_its_table_written_once(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert select_datasets([], data, out) == {STAMPS: out / STAMPS}
    table = out / STAMPS / "table.parquet"
    written = table.stat().st_mtime_ns
    assert select_datasets([STAMPS], data, out) == {STAMPS: out / STAMPS}
    assert table.stat().st_mtime_ns == written
    assert find_stamps(tmp_path / "elsewhere") is None


def test_both_sets_of_raw_text_are_known_as_such() -> None:
    assert {name for name, each in DATASETS.items() if each.has_text} == {STAMPS, "womens_clothing"}
    assert all(DATASETS[name].select_ratios([50]) == [0] for name in (STAMPS, "womens_clothing"))
