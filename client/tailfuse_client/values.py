"""Encode values of applications (paths, images, arrays, table rows) as JSON, or as the bytes of a file.

No library is imported for this: a value of a library exists only if the application imported it.
"""

import io
import json
import math
import os
import re
import sys
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

# A text that ends like this is a path that was meant to be a file, if it has no space or begins like a path.
FILE_ENDINGS = "avif|bmp|csv|dcm|gif|heic|heif|jpe?g|json|npy|png|tiff?|txt|wav|webp"
PATH = re.compile(rf"(?:\S+|(?:[./~\\]|[A-Za-z]:[\\/]).*)\.(?:{FILE_ENDINGS})", re.IGNORECASE)
# The modes of Pillow that PNG keeps as they are, and those of 32-bit numbers, which only TIFF keeps.
PNG_MODES = ("1", "L", "LA", "I;16", "I;16B", "P", "RGB", "RGBA")
TIFF_MODES = ("I", "F")


class Text(str):
    """A text that is sent as it is, also if it looks like a path: `Text("lesion.jpg")`."""

    __slots__ = ()


def encode_value(value: Any) -> Any:
    """Encode a modality's raw value as JSON or as the bytes of a file; None is absent.

    A path becomes its file's bytes, a .txt its text, a .json its value. An image, or a uint8 array of shape
    (height, width[, channels]), becomes a PNG, and an image with 32-bit pixels a TIFF. Another
    two-dimensional array becomes the .npy of a time series. A masked value is absent. Raises OSError for an
    unreadable file, TypeError and ValueError for other invalid values, among them a str that looks like a
    path.
    """
    if isinstance(value, str) and not isinstance(value, Text) and PATH.fullmatch(value):
        quoted = json.dumps(value, ensure_ascii=False)
        raise TypeError(f"use Path({quoted}) for a file, or Text({quoted}) for a text that looks like a path")
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    if isinstance(value, os.PathLike):
        return read_file_value(Path(value))
    if is_library_type(value, "PIL.Image", "Image"):
        return encode_image(value)
    if is_library_type(value, "pandas", "DataFrame"):
        value = value.iloc[0] if len(value) == 1 else value.to_numpy("float64", na_value=float("nan"))
    if is_library_type(value, "numpy", "ndarray") and value.ndim > 1:
        return encode_array(value)
    return convert_to_json(value)


def read_file_value(path: Path) -> Any:
    """Read a file as text, JSON, or bytes. Raises OSError, ValueError."""
    data = path.read_bytes()
    if path.suffix.lower() == ".txt":
        return data.decode("utf-8-sig")
    return convert_to_json(json.loads(data)) if path.suffix.lower() == ".json" else data


def convert_to_json(value: Any) -> Any:
    """Convert to JSON types; NaN, NaT, NA and masked cells become null. Raises TypeError."""
    if isinstance(value, Decimal):
        value = to_number(value)
    if isinstance(value, float):
        return None if value != value else float(value)
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, Mapping):
        return {str(name): convert_to_json(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [convert_to_json(each) for each in value]
    if is_library_type(value, "pandas", "Series"):
        by_name = all(isinstance(name, str) for name in value.index)
        return convert_to_json(value.to_dict() if by_name else value.tolist())
    if is_library_type(value, "numpy", "ndarray") or is_library_type(value, "numpy", "generic"):
        return convert_to_json(value.tolist())
    if is_library_type(value, "pandas", "NaT", "NA"):
        return None
    raise TypeError(f"a value of type {type(value).__name__} cannot be sent")


def to_number(value: Decimal) -> float | int:
    """Return a Decimal as an int if it is a whole number of 64 bits, such as an id, else as a float."""
    if value.is_nan():
        return math.nan  # `float` refuses a signalling NaN
    is_whole = -(2**63) <= value < 2**64 and value == value.to_integral_value()
    return int(value) if is_whole else float(value)


def is_library_type(value: Any, module: str, *names: str) -> bool:
    """Return whether a value is of a library's type or is its constant; False if it is not imported."""
    library = sys.modules.get(module)
    if library is None:
        return False
    known = [getattr(library, name) for name in names]
    return any(isinstance(value, each) if isinstance(each, type) else value is each for each in known)


def encode_array(array: Any) -> bytes:
    """Encode uint8 as PNG, other numbers as .npy, with NaN where they are masked. Raises TypeError."""
    is_masked = is_library_type(array, "numpy.ma", "MaskedArray") and bool(array.mask.any())
    if array.dtype == "uint8":
        if is_masked:
            raise TypeError("an array of uint8 is an image, which cannot be masked; fill it: array.filled(0)")
        return encode_image(make_image(array))
    if array.ndim != 2 or array.dtype.kind not in "biuf":
        raise TypeError(
            f"an array of {array.dtype} of shape {array.shape} is neither an image, uint8 of shape "
            "(height, width[, channels]), nor a time series of shape (time, channels)"
        )
    import numpy as np

    if is_masked:
        array = (array if array.dtype.kind == "f" else array.astype("float64")).filled(math.nan)
    file = io.BytesIO()
    np.save(file, np.asarray(array), allow_pickle=False)
    return file.getvalue()


def make_image(array: Any) -> Any:
    """Make an image of an array: (height, width), or with 1, 3 or 4 channels."""
    try:
        from PIL import Image
    except ModuleNotFoundError:
        raise TypeError("an image given as an array needs Pillow; pip install pillow") from None
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.ndim == 3 and array.shape[2] not in (3, 4):
        raise TypeError(f"an image is (height, width[, channels]) with 1, 3 or 4 channels, got {array.shape}")
    return Image.fromarray(array)


def encode_image(image: Any) -> bytes:
    """Encode an image, upright, as PNG, or as TIFF if its pixels are 32-bit numbers."""
    upright = turn_upright(image)
    file = io.BytesIO()
    if upright.mode in TIFF_MODES:
        upright.save(file, "TIFF", compression="raw")
        return file.getvalue()
    if upright.mode not in PNG_MODES:
        upright = upright.convert("RGBA" if upright.has_transparency_data else "RGB")
    upright.save(file, "PNG", compress_level=1)
    return file.getvalue()


def turn_upright(image: Any) -> Any:
    """Turn an image as its EXIF orientation says, which the encoded file does not keep."""
    from PIL import ImageOps

    try:
        return ImageOps.exif_transpose(image)
    except SyntaxError:  # by Pillow, of damaged EXIF; the service reads a file that has it, too
        return image.copy()
