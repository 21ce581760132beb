"""What applications hold, as it is sent."""

import io
import json
import math
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from tailfuse_client import Text
from tailfuse_client.values import encode_value


def pixels(encode_png: bytes) -> Any:
    return np.asarray(Image.open(io.BytesIO(encode_png)))


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        (None, None),
        ("spot", "spot"),
        (b"\x00\x01", b"\x00\x01"),
        (bytearray(b"x"), b"x"),
        (memoryview(b"x"), b"x"),
        ({"age": 61, "site": None, "smoker": True}, {"age": 61, "site": None, "smoker": True}),
        ((1, [2.5, math.nan]), [1, [2.5, None]]),
        ({"age": np.float32(0.5), "n": np.int64(3), "b": np.bool_(True)}, {"age": 0.5, "n": 3, "b": True}),
        (np.array([1.5, np.nan]), [1.5, None]),
        (np.array(["a", None], object), ["a", None]),
        ({"x": np.array([1, 2])}, {"x": [1, 2]}),
        (pd.Series({"age": 61.0, "site": "a", "pulse": None}), {"age": 61.0, "site": "a", "pulse": None}),
        (pd.Series([1, 2, 3]), [1, 2, 3]),
        (pd.Series([1, None], index=pd.to_datetime(["2026-01-01", "2026-01-02"]), dtype="Int64"), [1, None]),
        ({"age": pd.NA, "at": pd.NaT}, {"age": None, "at": None}),
        ({"age": Decimal("61.50"), "n": Decimal("3.00")}, {"age": 61.5, "n": 3}),
        ({"id": Decimal("1234567890123456789")}, {"id": 1234567890123456789}),
        ([Decimal("1E+300"), Decimal("-1E-9")], [1e300, -1e-9]),
        ([Decimal("NaN"), Decimal("sNaN")], [None, None]),
        (np.array([Decimal("0.5"), None], object), [0.5, None]),
        (pd.Series({"age": Decimal("61.5")}), {"age": 61.5}),
        (np.ma.masked_values([1.5, -999.0], -999.0), [1.5, None]),
        ({"x": np.ma.masked_values([1, -999], -999), "y": np.ma.masked}, {"x": [1, None], "y": None}),
        (pd.DataFrame({"age": [61], "site": ["back"]}), {"age": 61, "site": "back"}),
        (pd.DataFrame({"n": pd.array([None], "Int64"), "c": pd.Categorical(["x"])}), {"n": None, "c": "x"}),
    ],
)  # fmt: skip
def test_values_are_plain_json_with_null_for_missing(value: Any, sent: Any) -> None:
    found = encode_value(value)
    assert found == sent
    assert type(found) is type(sent)
    if not isinstance(found, bytes):
        assert json.loads(json.dumps(found, allow_nan=False)) == sent


def test_an_infinite_decimal_is_an_infinite_float() -> None:
    """The service refuses both, with the row and the column."""
    found = encode_value([Decimal("Infinity"), Decimal("-Infinity")])
    assert found == [math.inf, -math.inf]
    assert {*map(type, found)} == {float}


@pytest.mark.parametrize("shape", [(4, 6), (4, 6, 1), (4, 6, 3), (4, 6, 4)])
def test_an_array_of_uint8_is_a_picture(shape: tuple[int, ...]) -> None:
    array = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    assert np.array_equal(pixels(encode_value(array)), array.squeeze())


@pytest.mark.parametrize(
    "mode",
    [
        "1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "I;16", "I;16B",
        "CMYK", "YCbCr", "HSV", "LAB",
    ],
)  # fmt: skip
def test_a_picture_of_any_mode_is_a_png(mode: str) -> None:
    encode_png = encode_value(Image.new(mode, (6, 4)))
    assert encode_png.startswith(b"\x89PNG")
    assert Image.open(io.BytesIO(encode_png)).size == (6, 4)


def test_a_picture_is_sent_upright_as_its_file_would_be_seen(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    Image.new("RGB", (6, 4)).save(tmp_path / "turned.jpg", exif=exif)
    with Image.open(tmp_path / "turned.jpg") as opened:
        assert Image.open(io.BytesIO(encode_value(opened))).size == (4, 6)
        assert Image.open(io.BytesIO(encode_value(opened.convert("L")))).size == (4, 6)


@pytest.mark.parametrize("dtype", [np.int32, np.float32])
def test_an_image_with_pixels_of_32_bits_is_a_tiff(dtype: Any) -> None:
    values = np.array([[-5, 70_000, 3], [1, 2, 4]], dtype)
    data = encode_value(Image.fromarray(values))
    assert data.startswith(b"II*\0")
    assert np.array_equal(pixels(data), values)


def test_an_image_with_damaged_exif_is_sent() -> None:
    file = io.BytesIO()
    Image.new("RGB", (6, 4), "red").save(file, "PNG", exif=b"Exif\0\0no such header")
    with Image.open(file) as opened:
        assert np.array_equal(pixels(encode_value(opened)), np.asarray(opened))


@pytest.mark.parametrize(
    "steps", [np.arange(6.0).reshape(3, 2), np.ones((3, 2), np.float32), np.ones((4, 1), np.int16)]
)
def test_an_array_of_two_dimensions_is_a_series(steps: Any) -> None:
    assert np.array_equal(np.load(io.BytesIO(encode_value(steps))), steps)


@pytest.mark.parametrize(("dtype", "sent"), [(np.float32, np.float32), (np.int16, np.float64)])
def test_what_is_masked_in_a_series_is_missing(dtype: Any, sent: Any) -> None:
    steps = np.ma.masked_equal(np.array([[1, -9], [3, 4]], dtype), -9)
    found = np.load(io.BytesIO(encode_value(steps)))
    assert found.dtype == sent
    assert np.array_equal(found, np.array([[1, np.nan], [3, 4]]), equal_nan=True)
    whole = np.load(io.BytesIO(encode_value(steps[1:])))
    assert whole.dtype == dtype
    assert whole.tolist() == [[3, 4]]


def test_a_data_frame_of_several_rows_is_a_series() -> None:
    frame = pd.DataFrame({"x": pd.array([1, None], "Int64"), "y": [0.5, 2]})
    assert np.array_equal(np.load(io.BytesIO(encode_value(frame))), [[1, 0.5], [np.nan, 2]], equal_nan=True)


def test_a_path_is_its_file(tmp_path: Path) -> None:
    for name, content in {"a.jpg": b"\xff\xd8", "a.txt": "dünn".encode(), "a.json": b'{"age": NaN}'}.items():
        (tmp_path / name).write_bytes(content)
    assert encode_value(tmp_path / "a.jpg") == b"\xff\xd8"
    assert encode_value(tmp_path / "a.txt") == "dünn"
    assert encode_value(tmp_path / "a.json") == {"age": None}
    with pytest.raises(FileNotFoundError, match=r"none\.jpg"):
        encode_value(tmp_path / "none.jpg")


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (object(), "a value of type object cannot be sent"),
        ({"age": b"61"}, "of type bytes cannot be sent"),
        ({"at": pd.Timestamp("2026-01-01")}, "Timestamp"),
        (np.zeros((4, 6, 3)), "float64 of shape"),
        (np.zeros((4, 6, 2), np.uint8), "1, 3 or 4 channels"),
        (np.ma.masked_equal(np.eye(4, dtype=np.uint8), 1), "cannot be masked; fill it"),
        (np.zeros((2, 2), complex), "complex128"),
    ],
)
def test_what_cannot_be_sent_is_told_so(value: Any, why: str) -> None:
    with pytest.raises(TypeError, match=why):
        encode_value(value)


@pytest.mark.parametrize(
    "path",
    [
        "lesion.jpg", "a/b/lesion.JPEG", "./my scans/1.npy", "/data/notes.txt", "C:\\scans\\1 2.tif",
        "~/a b.png", 'a"b.wav', "größe.csv",
    ],
)  # fmt: skip
def test_a_str_that_looks_like_a_path_is_refused_with_what_to_write(path: str) -> None:
    quoted = json.dumps(path, ensure_ascii=False)
    with pytest.raises(TypeError, match=re.escape(f"use Path({quoted}) for a file")):
        encode_value(path)
    assert encode_value(Text(path)) == path


@pytest.mark.parametrize(
    "text",
    [
        "spot",
        "see lesion.jpg",
        "lesion.jpg\nand more",
        "jpg",
        ".jpg",
        "version 1.2",
        "iVBORw0KGgo=",
        "e.g",
        "a.b.c",
    ],
)
def test_any_other_str_is_a_text(text: str) -> None:
    assert encode_value(text) == text


def test_names_within_a_row_are_cells() -> None:
    assert encode_value({"scan": "lesion.jpg"}) == {"scan": "lesion.jpg"}
    assert encode_value(["lesion.jpg"]) == ["lesion.jpg"]
