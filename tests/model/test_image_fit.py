"""An image modality fits its range, spread and formats to the training images, whatever their depth."""

import io
import logging
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from pydantic import ValidationError
from tailfuse.data.arrays import make_split_arrays
from tailfuse.errors import TableError
from tailfuse.modalities.image import ImageKind, ImageSpec
from tailfuse.modalities.image.small_cnn import SmallCnn
from tailfuse_service.errors import UndecodableImage
from tailfuse_service.modalities import ImageModality

RNG = np.random.default_rng(0)
SIDE = 12


def encode(pixels: NDArray[Any], name: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, name)
    return file.getvalue()


def patches(low: float, step: float, kind: Any = np.uint8, name: str = "PNG", n: int = 12) -> list[bytes]:
    """Noisy images; every second one has a brighter patch in the middle."""
    files = []
    for number in range(n):
        pixels = low + step * RNG.random((SIDE, SIDE)).round()
        pixels[4:8, 4:8] = low + step * (1 + number % 2)
        files.append(encode(pixels.astype(kind), name))
    return files


def fit(files: list[bytes], **keys: Any) -> ImageModality:
    spec = ImageSpec(kind="image", column="image", size=(SIDE, SIDE), **keys)
    table = pl.DataFrame({"image": pl.Series(files, dtype=pl.Binary)})
    return ImageKind().fit("image", spec, table, np.arange(len(files)), Path())


def levels(modality: ImageModality, files: list[bytes]) -> NDArray[np.uint8]:
    features = modality.features("image")
    return np.stack([pixels for file in files if (pixels := features.apply(file)) is not None])


def test_ordinary_images_of_8_bits_keep_their_values() -> None:
    files = patches(10, 80)
    modality = fit(files)
    assert (modality.range, modality.deep, modality.mean, modality.std) == (None, False, 127.5, 127.5)
    old = ImageModality(column="image", height=SIDE, width=SIDE, channels=1)
    np.testing.assert_array_equal(levels(modality, files), levels(old, files))


@pytest.mark.parametrize(
    ("low", "step", "kind", "name"),
    [
        (0, 1, np.uint8, "PNG"),  # a mask of 0, 1 and 2
        (128, 2, np.uint8, "PNG"),
        (128, 2, np.uint8, "BMP"),
        (500, 100, np.uint16, "PNG"),  # 12 bits in 16
        (60_000, 2_000, np.uint16, "PNG"),
        (-500, 100, np.int32, "TIFF"),
        (-32_000, 100, np.int32, "TIFF"),
        (2_000_000_000, 40, np.int32, "TIFF"),  # float32 does not hold these
        (0.25, 0.125, np.float32, "TIFF"),
        (-1e6, 1e5, np.float32, "TIFF"),
        (100, 20, np.uint16, "PPM"),
    ],
)
def test_a_narrow_or_deep_range_fills_0_to_255(low: float, step: float, kind: Any, name: str) -> None:
    files = patches(low, step, kind, name)
    modality = fit(files)
    assert modality.range == (low, low + 2 * step)
    assert modality.deep == (kind != np.uint8)
    assert modality.formats == (name,)
    assert set(np.unique(levels(modality, files))) == {0, 128, 255}
    assert ImageModality.model_validate_json(modality.model_dump_json()) == modality


def test_a_given_range_clips_and_must_fit_the_depth() -> None:
    files = patches(500, 100, np.uint16)
    modality = fit(files, range=[600, 700])
    assert modality.range == (600, 700)
    assert set(np.unique(levels(modality, files))) == {0, 255}
    with pytest.raises(TableError, match="range: 4095 is above 255; the training images have 8 bits"):
        fit(patches(10, 80), range=[0, 4095])
    with pytest.raises(ValidationError, match=r"takes \[lowest, highest\]"):
        fit(files, range=[5, 5])


def test_a_stray_pixel_does_not_leave_few_levels_to_all_others(caplog: pytest.LogCaptureFixture) -> None:
    pixels = [RNG.integers(0, 4096, (64, 64)).astype(np.uint16) for _ in range(8)]
    pixels[3][5, 5] = 65_535
    with caplog.at_level(logging.WARNING, "tailfuse"):
        modality = fit([encode(each) for each in pixels])
    assert modality.range is not None
    assert modality.range[1] < 4096
    assert "values beyond it are clipped (modalities.image.range sets another)" in caplog.text.replace(
        "\n", ""
    )


def test_dark_images_with_some_bright_pixels_are_standardised_by_the_encoder() -> None:
    pixels = [np.zeros((SIDE, SIDE), np.uint8) for _ in range(40)]
    pixels[3][5, 5] = 255
    modality = fit([encode(each) for each in pixels])
    assert modality.range is None
    assert modality.std < 16
    encoder = SmallCnn(modality, width=8, dropout=0.0, input_dropout=0.0)
    seen: list[torch.Tensor] = []
    encoder.convolutions.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    encoder.extract_features(torch.from_numpy(np.stack([each[None] for each in pixels])))
    assert float(seen[0].mean()) == pytest.approx(0, abs=1e-3)
    assert float(seen[0].std()) == pytest.approx(1, abs=1e-3)


def test_images_of_another_depth_are_refused_not_black_or_white() -> None:
    shallow, narrow = fit(patches(10, 80)), fit(patches(0, 1))
    deep = fit(patches(500, 100, np.uint16))
    with pytest.raises(
        UndecodableImage, match=r"8 bits; the model was trained on deeper images, of 500\.\.700"
    ):
        levels(deep, patches(10, 80))
    with pytest.raises(UndecodableImage, match=r"pixels are 500\.\..*trained on images of 8 bits"):
        levels(narrow, patches(500, 100, np.uint16))
    assert levels(narrow, patches(0, 1, np.uint16)).max() == 255  # the same mask, in 16 bits
    for files in (patches(-500, 100, np.int32, "TIFF"), patches(0.5, 0.25, np.float32, "TIFF")):
        with pytest.raises(UndecodableImage, match="trained on images of 8 or 16 bits"):
            ImageModality(**shallow.model_dump() | {"formats": ("TIFF",)}).features("image").apply(files[0])
    missing = np.full((SIDE, SIDE), np.nan, np.float32)
    with pytest.raises(UndecodableImage, match="NaN or infinite"):
        fit(patches(0.5, 0.25, np.float32, "TIFF")).features("image").apply(encode(missing, "TIFF"))


def test_mixed_depths_are_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "tailfuse"):
        modality = fit([*patches(10, 80), *patches(500, 20_000, np.uint16)])
    assert (modality.range, modality.deep) == (None, False)
    assert "images of 8 bits and deeper ones are mixed" in caplog.text


def test_colours_of_16_bits_are_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    lines = b"".join(b"\0" + RNG.integers(0, 256, 4 * 6, np.uint8).tobytes() for _ in range(4))
    head = struct.pack(">IIBBBBB", 4, 4, 16, 2, 0, 0, 0)
    file = (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(lines))
        + chunk(b"IEND", b"")
    )
    with caplog.at_level(logging.WARNING, "tailfuse"):
        modality = fit([file])
    assert (modality.channels, modality.deep) == (3, False)
    assert "colours of 16 bits, of which the upper 8 are read" in caplog.text


def test_the_formats_of_all_training_images_are_listed() -> None:
    modality = fit([*patches(10, 80), *patches(10, 80, name="JPEG2000", n=1), b"no image"])
    assert modality.formats == ("JPEG2000", "PNG")


def test_constant_images_are_taken_as_they_are() -> None:
    assert fit([encode(np.full((SIDE, SIDE), 7, np.uint8))]).range is None
    assert fit([encode(np.full((SIDE, SIDE), 700, np.uint16))]).range == (700, 701)


BROKEN = [b"", b"no image", encode(np.zeros((SIDE, SIDE), np.uint8))[:40]]


@pytest.mark.parametrize("broken", BROKEN)
def test_unreadable_files_stop_or_count_as_missing(
    broken: bytes, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    files = patches(10, 80)
    files[1] = files[5] = broken
    cells: list[str | None] = [None]
    for number, file in enumerate(files):
        (tmp_path / f"{number}.png").write_bytes(file)
        cells.append(f"{number}.png")
    cells.append("gone.png")
    table = pl.DataFrame({"image": cells})
    said = r"modality 'image': 3 of 13 files cannot be read: row 3, column 'image' \(1.png\): .*; row 7, .*; "
    with pytest.raises(TableError, match=said + r"row 14, .*no such file.*unreadable: missing counts them"):
        make_split_arrays(table, {"image": fit(files)}, tmp_path)
    with caplog.at_level(logging.WARNING, "tailfuse"):
        arrays = make_split_arrays(table, {"image": fit(files, unreadable="missing")}, tmp_path)
    assert arrays.presence()[:, 0].tolist() == [False, True, False, *[True] * 3, False, *[True] * 6, False]
    assert "3 of 13 files cannot be read" in caplog.text
    assert "they count as missing" in caplog.text
    with pytest.raises(TableError, match="2 of 2 files cannot be read"):
        make_split_arrays(table[[2, 6]], {"image": fit(files, unreadable="missing")}, tmp_path)
