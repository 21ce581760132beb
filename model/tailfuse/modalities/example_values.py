"""Raw values of a table as JSON, small enough to be shown in a service's document."""

import io
import math
from base64 import b64encode
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError
from tailfuse_service.modalities import ImageModality

MAX_FILE_BYTES = 16 * 1024  # a larger image is shown at twice the size that the model reads
QUALITY = 90  # of JPEG


def to_json(raw: Any) -> Any:
    """Return a raw value as JSON: bytes in base64, and null for a number that is not finite."""
    if isinstance(raw, bytes):
        return b64encode(raw).decode()
    if isinstance(raw, np.ndarray | np.generic):
        return to_json(raw.tolist())
    if isinstance(raw, dict):
        return {name: to_json(value) for name, value in raw.items()}
    if isinstance(raw, list | tuple):
        return [to_json(value) for value in raw]
    return None if isinstance(raw, float) and not math.isfinite(raw) else raw


def shrink_image(raw: bytes, modality: ImageModality) -> str | None:
    """Return an image in base64, a large one smaller; None if it is large and has no 8-bit pixels."""
    if len(raw) <= MAX_FILE_BYTES:
        return b64encode(raw).decode()
    try:
        with Image.open(io.BytesIO(raw)) as opened:
            image = ImageOps.exif_transpose(opened)
    except (UnidentifiedImageError, OSError):  # of a format that Pillow alone does not read
        return None
    if modality.deep or modality.range is not None or image.mode not in ("L", "P", "RGB", "RGBA"):
        return None
    image = image.convert("L" if image.mode == "L" else "RGB")
    image.thumbnail((2 * modality.width, 2 * modality.height))
    file = io.BytesIO()
    image.save(file, "JPEG", quality=QUALITY)
    return b64encode(file.getvalue()).decode()
