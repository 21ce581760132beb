"""Pixels of any mode and depth become 8 bits: grey or RGB, upright.

Images of 8 bits keep their values, unless a range is given. Deeper ones need a range: `range` [low, high]
becomes 0..255, and values beyond it are clipped. Without a range, 16 bits are divided by 256.
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

ORIENTATION = 0x0112  # the EXIF tag
MAX_16_BITS = 65_535

Range = tuple[float, float]
Mode = Literal["L", "RGB"]

TURNS = {
    2: (Image.Transpose.FLIP_LEFT_RIGHT,),
    3: (Image.Transpose.ROTATE_180,),
    4: (Image.Transpose.FLIP_TOP_BOTTOM,),
    5: (Image.Transpose.TRANSPOSE,),
    6: (Image.Transpose.ROTATE_270,),
    7: (Image.Transpose.TRANSVERSE,),
    8: (Image.Transpose.ROTATE_90,),
}


class UnfitPixels(ValueError):
    """An image whose pixels do not fit those of the training images."""


def read_orientation(image: Image.Image) -> int:
    """Read the EXIF orientation, 1..8; 1 if there is none that can be read."""
    try:
        orientation = image.getexif().get(ORIENTATION)
        return int(orientation) if orientation in TURNS else 1
    except Exception:  # damaged EXIF does not make an image unreadable
        return 1


def turn_upright(image: Image.Image, orientation: int) -> Image.Image:
    """Turn an image as its EXIF orientation (1..8) says."""
    for turn in TURNS.get(orientation, ()):
        image = image.transpose(turn)
    return image


def is_deep(mode: str) -> bool:
    """Return whether pixels of the mode have more than 8 bits."""
    return mode in ("I", "F") or mode.startswith("I;16")


def load_pixels(image: Image.Image, mode: Mode) -> Image.Image:
    """Load the first frame, as L or RGB or, if it is deep, as it is; transparency becomes white."""
    image.seek(0)
    image.load()
    if is_deep(image.mode):
        return image
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image.convert(mode)


def convert_mode(
    image: Image.Image, mode: Mode, pixel_range: Range | None = None, deep: bool = False
) -> Image.Image:
    """Convert the first frame to L or RGB; to F, whose values are 0..255, if it is deep and a range is given.

    `deep`: the training images were deep. Raises UnfitPixels.
    """
    image = load_pixels(image, mode)
    if is_deep(image.mode):
        return (
            halve_depth(image).convert(mode) if pixel_range is None else scale_deep(image, pixel_range, deep)
        )
    return image if pixel_range is None else scale_shallow(image, pixel_range, deep)


def halve_depth(image: Image.Image) -> Image.Image:
    """Divide 16 bits by 256. Raises UnfitPixels for floats and for numbers that need more than 16 bits."""
    if image.mode == "F":
        raise UnfitPixels("its pixels are floats; the model was trained on images of 8 or 16 bits")
    values = np.asarray(image)
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > MAX_16_BITS:
        raise UnfitPixels(f"its pixels are {low}..{high}; the model was trained on images of 8 or 16 bits")
    return Image.fromarray((values >> 8).astype(np.uint8))


def scale_deep(image: Image.Image, pixel_range: Range, deep: bool) -> Image.Image:
    """Map the range to 0..255, clipped: an image of mode F. Raises UnfitPixels."""
    low, high = pixel_range
    values = np.asarray(image)
    smallest, largest = values.min(), values.max()
    if not np.isfinite(smallest) or not np.isfinite(largest):
        raise UnfitPixels("some of its pixels are NaN or infinite")
    if not deep and (smallest < 0 or largest > 255):
        raise UnfitPixels(f"its pixels are {smallest}..{largest}; the model was trained on images of 8 bits")
    # float32 does not hold all integers of 32 bits.
    scaled = np.subtract(values, low, dtype=np.float64 if image.mode == "I" else np.float32)
    scaled *= 255 / (high - low)
    return Image.fromarray(scaled.clip(0, 255, out=scaled).astype(np.float32, copy=False))


def scale_shallow(image: Image.Image, pixel_range: Range, deep: bool) -> Image.Image:
    """Map the range to 0..255, clipped, in an image of 8 bits. Raises UnfitPixels."""
    low, high = pixel_range
    if deep:
        raise UnfitPixels(
            f"its pixels have 8 bits; the model was trained on deeper images, of {low:g}..{high:g}"
        )
    levels = np.rint((np.arange(256) - low) * (255 / (high - low))).clip(0, 255).astype(int).tolist()
    return image.point(levels * len(image.getbands()))


def to_array(image: Image.Image, mode: Mode) -> NDArray[np.uint8]:
    """Return the pixels as uint8: (height, width), or (height, width, 3)."""
    if image.mode != "F":
        return np.asarray(image, np.uint8)
    grey = np.rint(np.asarray(image)).clip(0, 255).astype(np.uint8)
    return grey if mode == "L" else np.repeat(grey[:, :, None], 3, axis=2)
