"""Tables that are more than a file: folders of shards, folders of images by class, WebDataset's archives."""

import errno
import io
import json
import logging
import os
import tarfile
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from PIL import Image
from tailfuse.data.labelled import is_training_table, labelled_part
from tailfuse.data.scaffold import scaffold_spec
from tailfuse.errors import TableError
from tailfuse.files.cells import type_cells
from tailfuse.files.sources import digest_table
from tailfuse.files.table import read_batches, read_table
from tailfuse_service.bundle import read_manifest

TABLE = pl.DataFrame({"size": [1, 2, 3, 4, 5], "label": ["oak", "elm", "oak", "elm", "ash"]})


def make_png(level: int = 0) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (6, 4), (level, 0, 0)).save(file, "png")
    return file.getvalue()


def write_tar(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def write_images(folder: Path, *paths: str) -> Path:
    for at, path in enumerate(paths):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(make_png(at))
    return folder


@pytest.mark.parametrize("ending", ["csv", "parquet", "jsonl"])
def test_a_folder_of_shards_is_read_as_one_table(tmp_path: Path, ending: str) -> None:
    shards = tmp_path / "shards"
    shards.mkdir()
    write = {"csv": "write_csv", "parquet": "write_parquet", "jsonl": "write_ndjson"}[ending]
    getattr(TABLE[3:], write)(shards / f"part-2.{ending}")
    getattr(TABLE[:3].select("label", "size"), write)(shards / f"part-1.{ending}")
    (shards / "_SUCCESS").touch()
    (shards / ".part-3.crc").touch()
    table = read_table(shards).select("size", "label").cast({"size": pl.Int64})
    assert table.equals(TABLE)
    pieces = list(read_batches(shards, rows=2))
    assert pl.concat(pieces).select("size", "label").cast({"size": pl.Int64}).equals(TABLE)


def test_parts_with_other_columns_are_told(tmp_path: Path) -> None:
    TABLE.write_parquet(tmp_path / "a.parquet")
    TABLE.rename({"size": "height"}).write_parquet(tmp_path / "b.parquet")
    for read in (read_table, lambda path: list(read_batches(path))):
        with pytest.raises(
            TableError, match=r"b\.parquet: has other columns than a\.parquet: 'size', 'height'"
        ):
            read(tmp_path)


@pytest.mark.parametrize(
    ("sizes", "said"),
    [
        (
            pl.Series([[1]] * 5),
            r"b\.parquet: column 'size' holds list, but int64 in a\.parquet; write it in one",
        ),
        (pl.Series([date(2020, 1, 1)] * 5), r"b\.parquet: column 'size' holds date, but int64 in a\.parquet"),
        (pl.Series([b"x"] * 5), r"b\.parquet: column 'size' holds binary, but int64 in a\.parquet"),
    ],
)
def test_parts_with_other_types_are_told(tmp_path: Path, sizes: pl.Series, said: str) -> None:
    TABLE.write_parquet(tmp_path / "a.parquet")
    TABLE.with_columns(size=sizes).write_parquet(tmp_path / "b.parquet")
    for read in (read_table, lambda path: list(read_batches(path))):
        with pytest.raises(TableError, match=said):
            read(tmp_path)


def test_dates_beside_texts_are_told(tmp_path: Path) -> None:
    pl.DataFrame({"day": [date(2020, 1, 1), None]}).write_parquet(tmp_path / "1.parquet")
    pl.DataFrame({"day": [None, None]}).write_parquet(tmp_path / "2.parquet")
    (tmp_path / "3.csv").write_text("day\n2020-01-02\n")
    with pytest.raises(TableError, match=r"3\.csv: column 'day' holds string, but date in 1\.parquet"):
        read_table(tmp_path)


def test_numbers_of_parts_are_spelled_alike_beside_texts(tmp_path: Path) -> None:
    columns = {"y": [1.0, 2.5, None], "size": [1.0, 2.0, 3.0], "sure": [True, False, None]}
    pl.DataFrame(columns).write_parquet(tmp_path / "1.parquet")
    (tmp_path / "2.csv").write_text("y,size,sure\n1,1,true\n2.5,2.0,false\n1,3,\n")
    table = read_table(tmp_path)
    assert table["y"].to_list() == ["1", "2.5", None, "1", "2.5", "1"]
    assert table["size"].to_list() == ["1", "2", "3", "1", "2.0", "3"]
    assert table["sure"].to_list() == ["true", "false", None, "true", "false", None]
    for column in table.columns:
        cells = [
            type_cells(piece[column], "category", "here", np.arange(len(piece)))
            for piece in read_batches(tmp_path)
        ]
        assert pl.concat(cells).to_list() == table[column].to_list()


def test_a_damaged_part_is_named(tmp_path: Path) -> None:
    TABLE.write_parquet(tmp_path / "a.parquet")
    (tmp_path / "b.parquet").write_bytes(b"PAR1")
    with pytest.raises(TableError, match=r"b\.parquet"):
        read_table(tmp_path)


def test_the_digest_of_a_folder_is_that_of_its_parts(tmp_path: Path) -> None:
    TABLE.write_parquet(tmp_path / "a.parquet")
    first = digest_table(tmp_path)
    assert digest_table(tmp_path) == first
    TABLE[:4].write_parquet(tmp_path / "b.parquet")
    both = digest_table(tmp_path)
    TABLE[:3].write_parquet(tmp_path / "b.parquet")
    assert len({first, both, digest_table(tmp_path)}) == 3


def test_folders_of_images_are_classes(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pets = write_images(
        tmp_path / "pets", "owl/b.png", "cat/1.PNG", "cat/kittens/2.jpg", ".hidden/3.png", "a/b.pdf"
    )
    (pets / "cat/notes.txt").touch()
    write_images(pets, "top.png")
    with caplog.at_level(logging.WARNING, "tailfuse"):
        table = read_table(pets)
    assert table.rows() == [
        ("pets/cat/1.PNG", "cat"), ("pets/cat/kittens/2.jpg", "cat"), ("pets/owl/b.png", "owl"),
    ]  # fmt: skip
    assert "left out 3 files that are no images in the folder of a class" in caplog.text
    assert "the first is top.png" in caplog.text


def test_folders_named_as_parts_are_the_split(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "pets", "train/cat/1.png", "valid/cat/2.png", "test/owl/3.png")
    assert read_table(folder).rows() == [
        ("pets/test/owl/3.png", "owl", "test"), ("pets/train/cat/1.png", "cat", "train"),
        ("pets/valid/cat/2.png", "cat", "val"),
    ]  # fmt: skip


def test_a_class_that_cannot_be_listed_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it the class would be missing, and nobody would know."""
    pets = write_images(tmp_path / "pets", "cat/1.png", "owl/2.png")
    scandir = os.scandir

    def refuse(path: Any) -> Any:
        if Path(path).name == "owl":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(TableError, match=r"pets/owl: cannot be read: Permission denied"):
        read_table(pets)


def test_a_link_to_a_folder_gives_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pets = write_images(tmp_path / "pets", "cat/1.png", "owl/2.png")
    (pets / "elk").symlink_to(write_images(tmp_path / "others", "1.png"))
    with caplog.at_level(logging.WARNING, "tailfuse"):
        assert set(read_table(pets)["label"]) == {"cat", "owl"}
    assert "the first is elk" in caplog.text


@pytest.mark.parametrize("path", ["train/1.png", "trains/cat/1.png"])
def test_classes_may_be_called_train(tmp_path: Path, path: str) -> None:
    folder = write_images(tmp_path / "transport", "train/express/2.png", path)
    assert read_table(folder).columns == ["image", "label"]


def test_the_digest_of_images_is_that_of_their_paths(tmp_path: Path) -> None:
    pets = write_images(tmp_path / "pets", "cat/1.png", "owl/2.png")
    first = digest_table(pets)
    write_images(pets, "owl/3.png")
    assert digest_table(pets) != first


@pytest.mark.parametrize("files", [[], ["notes.txt"], ["1.png"]])
def test_a_folder_of_something_else_is_told(tmp_path: Path, files: list[str]) -> None:
    for name in files:
        (tmp_path / name).touch()
    with pytest.raises(TableError, match=r"holds neither tables .* nor folders of images"):
        read_table(tmp_path)


def test_an_archive_of_webdataset_is_a_table(tmp_path: Path) -> None:
    files: dict[str, bytes] = {}
    for at, label in enumerate(["oak", "elm"]):
        files[f"./trees/{at:03}.{'jpg' if at else 'png'}"] = make_png(at)
        files[f"./trees/{at:03}.cls"] = f"{label}\n".encode()
        files[f"./trees/{at:03}.json"] = json.dumps(
            {"height": at + 0.5, "tags": ["a"], "odd": at or "x"}
        ).encode()
        files[f"./trees/{at:03}.leaf.txt"] = "größer".encode()
    table = read_table(write_tar(tmp_path / "trees.tar", files))
    assert table.rows(named=True) == [
        {
            "__key__": f"trees/{at:03}", "image": make_png(at), "cls": label, "height": at + 0.5,
            "tags": '["a"]', "odd": odd, "leaf.txt": "größer",
        }
        for at, label, odd in ((0, "oak", "x"), (1, "elm", "1"))
    ]  # fmt: skip


def test_a_row_may_lack_a_file(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "t.tar", {"1.cls": b"oak", "2.cls": b"elm", "2.json": b'{"a": 1}'})
    assert read_table(path).select("cls", "a").rows() == [("oak", None), ("elm", 1)]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"1.cls": b"oak", "2.cls": b"elm", "1.txt": b"x"}, "the files of '1' are not next to each other"),
        ({"1.png": b"x", "1.jpg": b"y"}, r"1\.jpg: its row has another 'image'"),
        ({"1.json": b'{"cls": "a"}', "1.cls": b"b"}, r"1\.cls: its row has another 'cls'"),
        ({"1.json": b"{"}, r"1\.json: is no JSON"),
        ({"1.json": b"[1]"}, r"1\.json: expected a JSON object"),
        ({"1.pth": b"\x80\x02"}, r"1\.pth: is neither an image or array nor a text"),
        ({}, "no rows"),
    ],
)
def test_an_odd_archive_is_told(tmp_path: Path, files: dict[str, bytes], message: str) -> None:
    with pytest.raises(TableError, match=message):
        read_table(write_tar(tmp_path / "odd.tar", files))


@pytest.mark.parametrize("content", [b"", b"something else", b"\0" * 100])
def test_what_is_no_archive_is_told(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "odd.tar").write_bytes(content)
    with pytest.raises(TableError, match=r"odd\.tar"):
        read_table(tmp_path / "odd.tar")


WHOLE = {"1.txt": b"x" * 700, "2.txt": b"y" * 5, "3.txt": b"z" * 5}


@pytest.mark.parametrize("size", [600, 1000, 1536, 1700, 2048, 2560, 3000, 3584])
def test_an_archive_that_was_cut_off_is_told(tmp_path: Path, size: int) -> None:
    """Within a name, within a file, and between two rows, where tarfile finds nothing wrong."""
    path = write_tar(tmp_path / "t.tar", WHOLE)
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(TableError, match=r"t\.tar: (cannot be read|is damaged or cut off)"):
        read_table(path)


def test_a_damaged_name_in_an_archive_is_told(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "t.tar", WHOLE)
    content = bytearray(path.read_bytes())
    content[1536] ^= 1  # the first letter of the second name: its sum no longer fits
    path.write_bytes(content)
    with pytest.raises(TableError, match=r"t\.tar: is damaged or cut off after 1,536 bytes"):
        read_table(path)


def test_an_archive_behind_another_is_not_lost_unnoticed(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "t.tar", WHOLE)
    path.write_bytes(2 * path.read_bytes())
    with pytest.raises(TableError, match="is damaged or cut off"):
        read_table(path)


@pytest.mark.parametrize("zeros", [512, 1024, 10_240])
def test_an_archive_may_end_with_any_number_of_zeros(tmp_path: Path, zeros: int) -> None:
    path = write_tar(tmp_path / "t.tar", WHOLE)
    path.write_bytes(path.read_bytes().rstrip(b"\0")[: 1536 + 2 * 1024 - 507] + bytes(507 + zeros))
    assert len(read_table(path)) == 3


def test_a_first_spec_is_made_of_a_folder_of_images(tmp_path: Path) -> None:
    names = [f"{label}/{at}.png" for label in ("cat", "owl") for at in range(4)]
    text = scaffold_spec(write_images(tmp_path / "pets", *names), tmp_path)
    assert "table: pets\nlabel: label\n" in text
    assert "image: {kind: image, column: image, size: [4, 6]}" in text


@pytest.mark.slow
def test_a_folder_of_images_is_trained_on_and_evaluated(tmp_path: Path, trained_by: Any) -> None:
    names = [f"{label}/{at}.png" for label in ("cat", "owl") for at in range(12)]
    write_images(tmp_path / "pets", *names)
    spec = tmp_path / "spec.yaml"
    spec.write_text(scaffold_spec(tmp_path / "pets", tmp_path) + "training: {epochs: 2, folds: 2}\n")
    run = trained_by(spec, tmp_path / "run").run
    manifest = read_manifest(run / "bundle")
    assert is_training_table(manifest, tmp_path / "pets")
    assert len(labelled_part(manifest, tmp_path / "pets", "test")) == 4
