"""Columns of Python values as columns of a table: images, arrays, lists, and the ways to say missing."""

import io
import math
from collections.abc import Iterable, Sequence
from decimal import Decimal
from pathlib import PurePath
from typing import Any

import numpy as np
import polars as pl
from PIL import Image
from tailfuse_service.modalities.image.pixels import read_orientation, turn_upright
from tailfuse_service.modalities.tabular.spelling import spell

from tailfuse.errors import TableError

MISSING_TYPES = ("NAType", "NaTType")  # of pandas
PNG_MODES = ("1", "L", "LA", "I;16", "P", "RGB", "RGBA")  # the modes that PNG keeps as they are
TIFF_MODES = ("I", "F", "I;16B")  # 32-bit numbers, and 16 bits whose high byte is first
FAST = 1  # the level of compression: the bytes live in memory and are decoded once
SCALARS = (str, bool, int, float, np.generic, Decimal)
MAX_DECIMAL_DIGITS = 38  # of a column of polars, before and after the point together


def make_column(name: str, values: Any, kind: str | None = None) -> pl.Series:
    """Return values as a column. `kind` is the kind of the modality that reads the column, if that is known.

    Images of Pillow and arrays of pixels become the bytes of files. Raises TableError, which names the row.
    """
    if isinstance(values, pl.Series):
        return values.alias(name)
    if isinstance(values, np.ndarray) and values.ndim == 1 and values.dtype.kind in "biuf":
        return pl.Series(name, values)
    cells = fit_decimals([make_cell(name, row, value, kind) for row, value in enumerate(values)])
    try:
        column = pl.Series(name, cells, strict=True)
        # Integers of more than 64 bits are digits: they are spelled, as a table in text spells them.
        return column.cast(pl.String) if column.dtype in (pl.Int128, pl.UInt128) else column
    except (TypeError, ValueError, OverflowError, pl.exceptions.PolarsError):
        return pl.Series(name, spell_mixed(name, cells), pl.String)


def make_cell(name: str, row: int, value: Any, kind: str | None) -> Any:
    """Return one value as a cell; None is missing."""
    if value is None or value is np.ma.masked or type(value).__name__ in MISSING_TYPES or is_nan(value):
        return None
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, bytearray | memoryview):
        return bytes(value)
    try:
        if isinstance(value, Image.Image):
            return encode_image(value)
        if isinstance(value, np.ndarray) and value.ndim:
            is_image = kind == "image" or (kind is None and looks_like_pixels(value))
            return encode_image(make_image(value)) if is_image else make_list(value.tolist())
    except (TypeError, ValueError, OSError) as error:
        raise TableError(f"row {row + 1}: column '{name}': {error}") from None
    if isinstance(value, list | tuple):
        return make_list(value)
    return value.item() if isinstance(value, np.generic) else value


def make_list(values: Sequence[Any]) -> Sequence[Any]:
    """Return a list with its Decimals as floats, since polars panics on a Decimal that is NaN.

    >>> make_list([Decimal("0.5"), Decimal("NaN"), None])
    [0.5, nan, None]
    """
    types = set(map(type, values))
    if Decimal in types:
        values = [to_float(each) if isinstance(each, Decimal) else each for each in values]
    if list in types or tuple in types:
        values = [make_list(each) if isinstance(each, list | tuple) else each for each in values]
    return values


def fit_decimals(cells: list[Any]) -> list[Any]:
    """Return cells, with Decimals as floats if polars cannot hold all of them: it would drop or refuse some.

    >>> fit_decimals([Decimal("0.5"), Decimal("Infinity")])
    [0.5, inf]
    """
    decimals = [cell for cell in cells if isinstance(cell, Decimal)]
    if all(map(Decimal.is_finite, decimals)):
        n_whole = max((each.adjusted() + 1 for each in decimals), default=0)
        n_places = max((-int(each.as_tuple().exponent) for each in decimals), default=0)
        if max(n_whole, 0) + max(n_places, 0) <= MAX_DECIMAL_DIGITS:
            return cells
    return [to_float(cell) if isinstance(cell, Decimal) else cell for cell in cells]


def to_float(value: Decimal) -> float:
    """Return a Decimal as a float."""
    return math.nan if value.is_nan() else float(value)  # `float` refuses a signalling NaN


def is_nan(value: Any) -> bool:
    """Return whether a value is NaN. A float that is NaN is unequal to itself."""
    if isinstance(value, Decimal):
        return value.is_nan()  # comparing a signalling NaN would raise an error
    return isinstance(value, float | np.floating) and bool(value != value)


def looks_like_pixels(array: np.ndarray[Any, Any]) -> bool:
    """Return whether an array is an image rather than a time series: whole numbers, or three axes.

    >>> looks_like_pixels(np.zeros((8, 6), np.uint8)), looks_like_pixels(np.zeros((50, 2)))
    (True, False)
    """
    return array.ndim == 3 or (array.ndim == 2 and array.dtype.kind in "bu")


def make_image(array: np.ndarray[Any, Any]) -> Image.Image:
    """Return pixels (H, W) or (H, W, channels) as an image. Raises ValueError."""
    if np.ma.is_masked(array):
        raise ValueError("an array of pixels cannot be masked; fill it: array.filled(0)")
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    is_grey, is_colour = array.ndim == 2, array.ndim == 3 and array.shape[2] in (3, 4)
    deep = array.dtype in (np.uint16, np.int32, np.float32) or array.dtype == bool
    if (array.size and (array.dtype == np.uint8 and (is_grey or is_colour))) or (is_grey and deep):
        return Image.fromarray(np.ascontiguousarray(array))
    raise ValueError(
        f"an array of {array.dtype}, {' x '.join(map(str, array.shape))}, is no image; expected uint8 of "
        "height x width, or height x width x 3, or one channel of uint16, int32 or float32"
    )


def encode_image(image: Image.Image) -> bytes:
    """Return an image, upright, as the bytes of a file without loss.

    The service's functions turn it, so that an opened image is the same as the path or the bytes of its file.
    """
    image.load()  # turns a TIFF upright and removes the tag
    upright = turn_upright(image, read_orientation(image))
    file = io.BytesIO()
    if upright.mode in TIFF_MODES:
        # A copy drops the tags of an opened TIFF: its XMP may still hold the orientation.
        upright.copy().save(file, "TIFF", compression="raw")
    else:
        if upright.mode not in PNG_MODES:
            upright = upright.convert("RGBA" if upright.has_transparency_data else "RGB")
        upright.save(file, "PNG", compress_level=FAST)
    return file.getvalue()


def spell_mixed(name: str, cells: Sequence[Any]) -> Iterable[str | None]:
    """Spell values of several types as a table in text does. Raises TableError for others than scalars."""
    for row, cell in enumerate(cells):
        if cell is not None and not isinstance(cell, SCALARS):
            kinds = sorted({type(each).__name__ for each in cells if each is not None})
            raise TableError(
                f"row {row + 1}: column '{name}' holds {type(cell).__name__} among others "
                f"({', '.join(kinds)}); expected values of one type"
            )
    return [None if cell is None else spell(cell) for cell in cells]
