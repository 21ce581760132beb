"""The cache of images: a second run decodes nothing, and no other image is taken for a cached one."""

import logging
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tailfuse.errors import TableError
from tailfuse.modalities.image import cache as module
from tailfuse.modalities.image import fit
from tailfuse_service.modalities.image.features import ImageFeatures


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of its own, for pictures of any size."""
    monkeypatch.setenv("TAILFUSE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(module, "MIN_CACHED_BYTES", 0)
    return tmp_path / "cache"


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Every picture that is decoded, but for the sample whose pixels are measured."""
    monkeypatch.setattr(fit, "measure", lambda *args: iter(()))
    seen: list[bytes] = []
    apply = ImageFeatures.apply

    def counted(self: ImageFeatures, raw: bytes) -> object:
        seen.append(raw)
        return apply(self, raw)

    monkeypatch.setattr(ImageFeatures, "apply", counted)
    return seen


def test_a_second_run_decodes_nothing_and_has_the_same_rows(lesions: Any, decoded: Any) -> None:
    lesions.column("image", [None if i in (1, 5, 23) else row["image"] for i, row in enumerate(lesions.rows)])
    first = lesions.load()
    assert len(decoded) == 21
    second = lesions.load()
    assert len(decoded) == 21
    for part in ("train", "val", "test"):
        one, two = getattr(first, part), getattr(second, part)
        np.testing.assert_array_equal(one.position["image"], two.position["image"])
        np.testing.assert_array_equal(one.inputs["image"], two.inputs["image"])


def test_what_comes_from_the_cache_is_what_is_decoded_without_it(
    lesions: Any, monkeypatch: pytest.MonkeyPatch, cache: Any
) -> None:
    lesions.column("image", [None if i == 4 else row["image"] for i, row in enumerate(lesions.rows)])
    kept = lesions.load().train
    monkeypatch.setattr(module, "MIN_CACHED_BYTES", 2**40)
    for file in cache.iterdir():
        file.unlink()
    plain = lesions.load().train
    assert not list(cache.iterdir())
    np.testing.assert_array_equal(kept.position["image"], plain.position["image"])
    np.testing.assert_array_equal(kept.inputs["image"], plain.inputs["image"])


def test_few_pictures_are_not_worth_a_file(lesions: Any, monkeypatch: pytest.MonkeyPatch, cache: Any) -> None:
    monkeypatch.undo()
    monkeypatch.setenv("TAILFUSE_CACHE", str(cache))
    lesions.load()
    assert not cache.exists()


def test_a_changed_file_is_decoded_again(lesions: Any, decoded: Any, cache: Any) -> None:
    before = lesions.load().train.inputs["image"]
    path = lesions.folder / "images" / "0.png"
    Image.new("RGB", (20, 15), (1, 2, 3)).save(path)
    os.utime(path, ns=(1, 1))
    after = lesions.load().train.inputs["image"]
    assert len(decoded) == 48
    assert len(list(cache.iterdir())) == 2
    assert not np.array_equal(before[0], after[0])
    np.testing.assert_array_equal(before[1:], after[1:])


def test_changed_bytes_another_size_and_another_decoder_are_decoded_again(
    lesions: Any, decoded: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    lesions.table = "table.parquet"
    names = [row["image"] for row in lesions.rows]
    lesions.column("image", [(lesions.folder / name).read_bytes() for name in names])
    lesions.load()
    lesions.load()
    assert len(decoded) == 24
    lesions.rows[0]["image"] = lesions.rows[23]["image"]
    lesions.load()
    assert len(decoded) == 48
    lesions.load("modalities.image.size=[12,15]")
    assert len(decoded) == 72
    monkeypatch.setattr(module, "identify_decoder", lambda: ("another version",))
    lesions.load()
    assert len(decoded) == 96


def test_a_damaged_file_of_the_cache_is_decoded_anew(lesions: Any, decoded: Any, cache: Any) -> None:
    before = lesions.load().train.inputs["image"].copy()
    (file,) = cache.iterdir()
    file.write_bytes(file.read_bytes()[:-7])
    np.testing.assert_array_equal(lesions.load().train.inputs["image"], before)
    assert len(decoded) == 48


def test_a_missing_and_an_unreadable_picture_are_still_named_by_row(lesions: Any, cache: Any) -> None:
    (lesions.folder / "images" / "2.png").write_bytes(b"no picture")
    with pytest.raises(TableError, match=r"row 3, column 'image' \(images/2.png\)"):
        lesions.load()
    (lesions.folder / "images" / "2.png").unlink()
    with pytest.raises(TableError, match=r"row 3.*images/2.png\): no such file"):
        lesions.load()
    lesions.column("image", list(range(24)))
    with pytest.raises(TableError, match="24 of 24 files cannot be read"):
        lesions.load()
    assert not list(cache.iterdir())


def test_without_a_disk_the_pictures_are_decoded_into_memory(
    lesions: Any, cache: Any, caplog: pytest.LogCaptureFixture
) -> None:
    cache.touch()  # a file where the folder would be
    with caplog.at_level(logging.WARNING):
        assert lesions.load().train.inputs["image"].shape == (24, 3, 12, 16)
    assert "kept in memory instead" in caplog.text
