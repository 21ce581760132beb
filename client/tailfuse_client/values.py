"""Encode values of applications (paths, images, arrays, table rows) as JSON, or as the bytes of a file.

No library is imported for this: a value of a library exists only if the application imported it.
"""

import io
import json
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

# A text that ends like this is a path that was meant to be a file, if it has no space or begins like a path.
FILE_ENDINGS = "avif|bmp|csv|dcm|gif|heic|heif|jpe?g|json|npy|png|tiff?|txt|wav|webp"
PATH = re.compile(rf"(?:\S+|(?:[./~\\]|[A-Za-z]:[\\/]).*)\.(?:{FILE_ENDINGS})", re.IGNORECASE)


class Text(str):
    """A text that is sent as it is, also if it looks like a path: `Text("lesion.jpg")`."""

    __slots__ = ()


def encode_value(value: Any) -> Any:
    """Encode a modality's raw value as JSON or as the bytes of a file; None is absent.

    A path becomes its file's bytes, a .txt its text, a .json its value. An image, or a uint8 array of shape
    (height, width[, channels]), becomes a PNG; another two-dimensional array becomes the .npy of a time
    series. Raises OSError for an unreadable file, TypeError and ValueError for other invalid values, among
    them a str that looks like a path.
    """
    if isinstance(value, str) and not isinstance(value, Text) and PATH.fullmatch(value):
        quoted = json.dumps(value, ensure_ascii=False)
        raise TypeError(f"use Path({quoted}) for a file, or Text({quoted}) for a text that looks like a path")
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    if isinstance(value, os.PathLike):
        return read_file_value(Path(value))
    if is_library_type(value, "PIL.Image", "Image"):
        return encode_png(value)
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
    """Convert to JSON types; NaN, NaT and NA become null. Raises TypeError."""
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


def is_library_type(value: Any, module: str, *names: str) -> bool:
    """Return whether a value is of a library's type or is its constant; False if it is not imported."""
    library = sys.modules.get(module)
    if library is None:
        return False
    known = [getattr(library, name) for name in names]
    return any(isinstance(value, each) if isinstance(each, type) else value is each for each in known)


def encode_array(array: Any) -> bytes:
    """Encode uint8 as PNG, other numbers as .npy."""
    if array.dtype == "uint8":
        return encode_png(make_image(array))
    if array.ndim != 2 or array.dtype.kind not in "biuf":
        raise TypeError(
            f"an array of {array.dtype} of shape {array.shape} is neither an image, uint8 of shape "
            "(height, width[, channels]), nor a time series of shape (time, channels)"
        )
    import numpy as np

    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
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


def encode_png(image: Any) -> bytes:
    """Encode as PNG, with the EXIF orientation applied, as PNG would lose it."""
    from PIL import ImageOps

    upright = ImageOps.exif_transpose(image)
    if upright.mode in ("CMYK", "YCbCr", "HSV", "LAB"):  # PNG does not support these
        upright = upright.convert("RGB")
    file = io.BytesIO()
    upright.save(file, "PNG", compress_level=1)
    return file.getvalue()
