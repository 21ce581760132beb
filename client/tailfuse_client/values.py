"""What applications hold (paths, pictures, arrays, rows of tables) becomes plain JSON, or a file's bytes.

Nothing is imported for it: a value can be of a library only where somebody has imported that already.
"""

import io
import os
import sys
from collections.abc import Mapping
from json import loads
from pathlib import Path
from typing import Any


def value_of(value: Any) -> Any:
    """A modality's raw value as plain JSON, or as the bytes of a file; None is absent.

    A path is its file's bytes, but a .txt is its text and a .json its value; a picture, or an array of uint8
    of shape (height, width[, channels]), is a PNG; any other array of two dimensions is a series' .npy.
    Raises OSError for a file that cannot be read, TypeError and ValueError for what cannot be sent.
    """
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    if isinstance(value, os.PathLike):
        return file_value(Path(value))
    if is_of(value, "PIL.Image", "Image"):
        return png(value)
    if is_of(value, "pandas", "DataFrame"):
        value = value.iloc[0] if len(value) == 1 else value.to_numpy("float64", na_value=float("nan"))
    if is_of(value, "numpy", "ndarray") and value.ndim > 1:
        return array_file(value)
    return plain(value)


def file_value(path: Path) -> Any:
    """What the file says: a text, JSON, or its bytes. Raises OSError, ValueError."""
    data = path.read_bytes()
    if path.suffix.lower() == ".txt":
        return data.decode("utf-8-sig")
    return plain(loads(data)) if path.suffix.lower() == ".json" else data


def plain(value: Any) -> Any:
    """JSON's own types. NaN, NaT and NA are missing, and so null. Raises TypeError."""
    if isinstance(value, float):
        return None if value != value else float(value)
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, Mapping):
        return {str(name): plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if is_of(value, "pandas", "Series"):
        by_name = all(isinstance(name, str) for name in value.index)
        return plain(value.to_dict() if by_name else value.tolist())
    if is_of(value, "numpy", "ndarray") or is_of(value, "numpy", "generic"):
        return plain(value.tolist())
    if is_of(value, "pandas", "NaT", "NA"):
        return None
    raise TypeError(f"a value of type {type(value).__name__} cannot be sent")


def is_of(value: Any, module: str, *names: str) -> bool:
    """Whether a value is of a library's type, or is one of its constants; False where it is not imported."""
    library = sys.modules.get(module)
    if library is None:
        return False
    known = [getattr(library, name) for name in names]
    return any(isinstance(value, each) if isinstance(each, type) else value is each for each in known)


def array_file(array: Any) -> bytes:
    """A PNG of uint8, a .npy of other numbers."""
    if array.dtype == "uint8":
        return png(picture_of(array))
    if array.ndim != 2 or array.dtype.kind not in "biuf":
        raise TypeError(
            f"an array of {array.dtype} of shape {array.shape} is neither a picture, which is uint8 of "
            "(height, width[, channels]), nor a series of (time, channels)"
        )
    import numpy as np

    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    return file.getvalue()


def picture_of(array: Any) -> Any:
    """(height, width), or with 1, 3 or 4 channels."""
    try:
        from PIL import Image
    except ModuleNotFoundError:
        raise TypeError("a picture given as an array needs Pillow: pip install pillow") from None
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.ndim == 3 and array.shape[2] not in (3, 4):
        raise TypeError(
            f"a picture is (height, width[, channels]) with 1, 3 or 4 channels, not {array.shape}"
        )
    return Image.fromarray(array)


def png(picture: Any) -> bytes:
    """Upright, as the service sees a file: its EXIF orientation would be lost."""
    from PIL import ImageOps

    upright = ImageOps.exif_transpose(picture)
    if upright.mode in ("CMYK", "YCbCr", "HSV", "LAB"):  # PNG has none of these
        upright = upright.convert("RGB")
    file = io.BytesIO()
    upright.save(file, "PNG", compress_level=1)
    return file.getvalue()
