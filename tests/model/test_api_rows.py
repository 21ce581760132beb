"""Rows of any library as one table: Decimals, masked arrays, Arrow tables and opened images."""

import io
from decimal import Decimal
from typing import Any

import numpy as np
import polars as pl
import pytest
from PIL import Image
from tailfuse.api.cells import encode_image
from tailfuse.api.frames import read_rows
from tailfuse.errors import TableError
from tailfuse_service.modalities import ImageModality

PIXELS = np.random.default_rng(0).integers(0, 256, (9, 7, 3)).astype(np.uint8)
DEPTHS = PIXELS[:, :, 0].astype(np.uint16) * 257
ORIENTATION = 0x0112  # the EXIF tag
INFINITY = float("inf")


def read_columns(X: Any) -> dict[str, list[Any]]:
    return read_rows(X).table.to_dict(as_series=False)


def make_image(mode: str) -> Image.Image:
    if mode == "P":
        return Image.fromarray(PIXELS).quantize(16)
    if mode.startswith("I"):
        depths = Image.fromarray(DEPTHS)
        return depths if mode == "I;16" else depths.convert(mode)
    return Image.fromarray(PIXELS).convert("LA" if mode == "PA" else mode).convert(mode)


def make_file(file_format: str, image: Image.Image, **options: Any) -> bytes:
    """Return an image as a file that is to be turned by a quarter."""
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    file = io.BytesIO()
    image.save(file, file_format, exif=exif, **options)
    return file.getvalue()


@pytest.mark.parametrize(
    ("file_format", "mode", "options"),
    [
        ("JPEG", "RGB", {"quality": 95}),
        ("JPEG", "CMYK", {}),
        ("PNG", "RGB", {}),
        ("PNG", "I;16", {}),
        ("PNG", "P", {"transparency": 3}),
        ("WEBP", "RGBA", {"lossless": True}),
        ("AVIF", "RGB", {}),
        ("TIFF", "RGB", {}),
        ("TIFF", "CMYK", {}),
        ("TIFF", "PA", {}),
        ("TIFF", "I", {"compression": "tiff_lzw"}),
        ("TIFF", "I;16B", {}),
    ],
)
def test_an_opened_image_is_the_image_that_its_file_is(
    file_format: str, mode: str, options: dict[str, Any]
) -> None:
    data = make_file(file_format, make_image(mode), **options)
    features = ImageModality(column="image", height=7, width=9, channels=3).features("image")
    expected, found = features.apply(data), features.apply(encode_image(Image.open(io.BytesIO(data))))
    assert expected is not None
    assert found is not None
    assert np.allclose(found, expected, atol=2)  # two decoders of JPEG


def test_an_orientation_that_only_the_xmp_of_a_tiff_holds_is_applied_once() -> None:
    file = io.BytesIO()
    xmp = b'<x:xmpmeta><rdf tiff:Orientation="6"/></x:xmpmeta>'
    Image.fromarray(DEPTHS.astype(np.float32)).save(file, "TIFF", tiffinfo={700: xmp})
    with Image.open(io.BytesIO(encode_image(Image.open(file)))) as found:
        assert np.array_equal(np.asarray(found), np.rot90(DEPTHS, -1))


def test_damaged_exif_does_not_make_an_image_unreadable() -> None:
    file = io.BytesIO()
    Image.fromarray(PIXELS).save(file, "PNG", exif=b"Exif\0\0no such header")
    with Image.open(io.BytesIO(encode_image(Image.open(file)))) as found:
        assert np.array_equal(np.asarray(found), PIXELS)


def test_masked_values_are_missing() -> None:
    floats = np.ma.masked_values([[1.0, -999.0], [3.0, 4.0]], -999.0)
    expected = {"x0": [1, 3], "x1": [None, 4]}
    for X in (floats, floats.astype(int), floats.astype(object), [floats[0], floats[1]]):
        assert read_columns(X) == expected, X
    assert read_columns({"x0": floats[:, 0], "x1": floats.astype(int)[:, 1]}) == expected
    assert read_columns({"x0": [1, 3], "x1": [np.ma.masked, 4.0]}) == expected
    assert read_columns(np.ma.masked_values([[1, 2]], -999)) == {"x0": [1], "x1": [2]}
    typed: Any = np.ma.array(
        [(1, "a"), (2, "b")], [("n", "i4"), ("s", "U1")], mask=[(True, False), (False, True)]
    )
    assert read_columns(typed) == {"n": [None, 2], "s": ["a", None]}


def test_a_masked_time_series_has_gaps_and_a_masked_image_is_refused() -> None:
    steps = np.ma.masked_values([[1.0, -999.0], [3.0, 4.0]], -999.0)
    assert read_rows({"gait": [steps]}).table["gait"].to_list() == [[[1.0, None], [3.0, 4.0]]]
    image = np.ma.masked_equal(PIXELS, PIXELS[0, 0, 0])
    with pytest.raises(TableError, match=r"row 2: column 'scan': an array of pixels cannot be masked"):
        read_rows({"scan": [None, image]})
    whole = np.ma.array(PIXELS)
    assert read_columns({"scan": [whole]}) == read_columns({"scan": [PIXELS]})


def test_a_decimal_that_is_nan_is_missing() -> None:
    for nan in (Decimal("NaN"), Decimal("sNaN"), Decimal("-NaN")):
        assert read_columns({"a": [nan, Decimal("2.5")]}) == {"a": [None, Decimal("2.5")]}
        assert read_columns(np.array([[nan, 2.5]], object)) == {"x0": [None], "x1": [2.5]}
        [steps] = read_columns({"a": [[nan, Decimal("2.5")]]})["a"]
        assert np.array_equal(steps, [np.nan, 2.5], equal_nan=True)


@pytest.mark.parametrize("other", ["2.5", "1E+50", "1E-50", "1" * 39])
def test_decimals_that_are_infinite_or_have_too_many_digits_are_floats(other: str) -> None:
    for text in ("Infinity", "-Infinity", other):
        floats, decimals = [float(text), float(other), None], [Decimal(text), Decimal(other), None]
        assert read_columns({"a": decimals}) == read_columns({"a": floats})
    assert read_columns({"a": [[Decimal("Infinity"), Decimal(other)]]}) == {"a": [[INFINITY, float(other)]]}


def test_no_decimal_of_a_column_is_lost() -> None:
    """polars made the large one missing, without an error."""
    values = [Decimal("1E-30"), Decimal("1E+20")]
    assert read_columns({"a": values}) == {"a": [1e-30, 1e20]}
    exact = [Decimal("12345678901234567890.123"), Decimal("-0.5")]
    assert read_columns({"a": exact}) == {"a": exact}


def test_decimals_among_other_scalars_are_spelled() -> None:
    assert read_columns({"a": [Decimal("1.50"), 2, "x", None]}) == {"a": ["1.50", "2", "x", None]}


class ArrowTable:
    """A table that is known by its Arrow stream alone."""

    def __init__(self, table: Any) -> None:
        self.table = table

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self.table.__arrow_c_stream__(requested_schema)


def test_an_arrow_table_that_cannot_be_read_is_refused() -> None:
    pyarrow = pytest.importorskip("pyarrow")
    twice = pyarrow.table([pyarrow.array([1]), pyarrow.array([2])], names=["a", "a"])
    wide = pyarrow.table({"a": pyarrow.array([Decimal("1.5")], pyarrow.decimal256(50, 2))})
    for table in (twice, ArrowTable(twice)):
        with pytest.raises(TableError, match="two columns of X have the same name"):
            read_rows(table)
    for table in (wide, ArrowTable(wide)):
        with pytest.raises(TableError, match="cast it, for example decimal256 to decimal128 or float64"):
            read_rows(table)
    narrow = pyarrow.table({"a": pyarrow.array([Decimal("1.5")], pyarrow.decimal128(38, 2))})
    assert read_rows(ArrowTable(narrow)).table["a"].cast(pl.Float64).to_list() == [1.5]


def test_a_list_of_mappings_may_have_gaps_but_no_other_rows() -> None:
    rows = read_rows([{"a": 1}, {"b": 2.5, "a": None}, {}])
    assert rows.table.to_dicts() == [{"a": 1, "b": None}, {"a": None, "b": 2.5}, {"a": None, "b": None}]
    for wrong, number in (([{"a": 1}, None], 2), ([None, {"a": 1}], 1), ([{"a": 1}, {"a": 2}, [3]], 3)):
        with pytest.raises(TableError, match=f"row {number} of X is"):
            read_rows(wrong)
