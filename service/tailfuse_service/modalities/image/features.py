"""Image features: the bytes of an image become a small uint8 array.

JPEGs are decoded at the smallest scale that still covers the wanted size, which is several times
faster than decoding all pixels. The pixels differ from those of decode-then-resize, so this is the
only decoder: training uses it too.
"""

import contextlib
import io
import threading
import warnings
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image

from tailfuse_service.errors import InvalidInput, TooManyPixels, UndecodableImage
from tailfuse_service.modalities.base64_text import decode_base64
from tailfuse_service.modalities.json_text import json_type
from tailfuse_service.modalities.limits import DEFAULT_LIMITS, PILLOW_MAX_PIXELS, Limits

JPEG_MAGIC = b"\xff\xd8\xff"
ORIENTATION = 0x0112  # the EXIF tag
# A scan of a progressive JPEG can be 14 bytes long, and costs a pass over all pixels: a small file with
# many scans keeps a core busy for an hour. Cameras and editors write about ten.
MAX_SCANS = 100
MIN_CHECKED = 10**10  # bytes times pixels: below it no number of scans takes longer than half a second
MIN_SHARED_PIXELS = 1_000_000  # smaller images may be decoded by any number of threads at once
# Pillow knows forty formats; one of them (EPS) would start another program.
Image.init()
FORMATS = sorted(
    {"AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TGA", "TIFF", "WEBP"} & Image.OPEN.keys()
)


def suppress_pillow_warnings() -> None:
    """Do not warn of damaged EXIF blocks and large images: `max_pixels` is checked before decoding.

    For the whole process, since `catch_warnings` is not thread-safe; programs call it, importing does not.
    """
    warnings.filterwarnings("ignore", module=r"PIL\.")


class ImageFeatures:
    """The bytes of an image file, or their base64, as uint8 of shape (channels, height, width)."""

    def __init__(
        self, name: str, *, height: int, width: int, channels: Literal[1, 3], limits: Limits = DEFAULT_LIMITS
    ) -> None:
        self.name = name
        self.height, self.width, self.channels = height, width, channels
        self._max_pixels = limits.max_pixels
        self._share = Share(limits.max_pixels)

    def apply(self, raw: Any) -> NDArray[np.uint8] | None:
        """Return the pixels, upright, scaled to the modality's size; None if there are no bytes."""
        data = self._read_bytes(raw)
        if not data:
            return None
        try:
            image = self._decode(data)
            if isinstance(image, np.ndarray):
                return put_channels_first(image)
        except InvalidInput:
            raise
        except Image.DecompressionBombError:
            raise self._too_many(f"more than {PILLOW_MAX_PIXELS:,}", PILLOW_MAX_PIXELS + 1) from None
        except Exception as error:  # decoders raise exceptions of any type
            raise self._undecodable("the bytes are not an image that can be read") from error
        size = (self.width, self.height)
        if image.size != size:
            image = image.resize(size, Image.Resampling.BILINEAR)
        return put_channels_first(np.asarray(image, np.uint8))

    def stack(self, rows: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
        shape = (0, self.channels, self.height, self.width)
        return np.array(rows, np.uint8) if rows else np.zeros(shape, np.uint8)

    def _read_bytes(self, raw: Any) -> bytes:
        if isinstance(raw, bytes | bytearray | memoryview):
            return bytes(raw)
        if not isinstance(raw, str):
            raise InvalidInput(
                f"modality '{self.name}': expected an image as a base64 string, not {json_type(raw)}",
                modality=self.name, expected="base64 string", received=json_type(raw),
            )  # fmt: skip
        try:
            return decode_base64(raw)
        except ValueError:
            raise InvalidInput(
                f"modality '{self.name}': the string is not base64",
                modality=self.name, expected="base64 string", received="other characters",
            ) from None  # fmt: skip

    def _decode(self, data: bytes) -> Image.Image | NDArray[np.uint8]:
        """Return the image upright; an array (height, width[, channels]) if it has the wanted size."""
        if data.startswith(JPEG_MAGIC):
            height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
            self._check(data, width, height)
            if colours in ("YCbCr", "RGB", "Gray"):
                return self._decode_jpeg(data)
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            self._check(data, image.width, image.height)
            if image.mode == "F":
                raise self._undecodable("its pixels are floats; whole numbers of 8 or 16 bits are taken")
            with self._share.reserve(image.width * image.height):
                flat = convert_mode(image, "L" if self.channels == 1 else "RGB")
                # Loading turns a TIFF upright and removes the tag.
                return turn_upright(flat, read_orientation(image))

    def _check(self, data: bytes, width: int, height: int) -> None:
        """Check what the header says, before decoding. Raises TooManyPixels or UndecodableImage."""
        n_pixels = width * height
        if n_pixels > self._max_pixels:
            raise self._too_many(f"{width} x {height}", n_pixels)
        if n_pixels * len(data) > MIN_CHECKED and data.startswith(JPEG_MAGIC):
            n_scans = count_scans(data)
            if n_scans > MAX_SCANS:
                raise self._undecodable(f"a JPEG of {n_scans:,} scans, at most {MAX_SCANS} are taken")

    def _decode_jpeg(self, data: bytes) -> Image.Image | NDArray[np.uint8]:
        """Decode upright, at the smallest of the scales 1/8..8/8 that covers the wanted size."""
        grey = self.channels == 1
        height, width = self.height, self.width
        orientation = 1
        if b"Exif\0\0" in data or b"tiff:Orientation" in data:  # saves Pillow's 17 us for most images
            with Image.open(io.BytesIO(data), formats=["JPEG"]) as header:
                orientation = read_orientation(header)
        if orientation >= 5:  # a quarter turn follows the decoding
            height, width = width, height
        pixels = simplejpeg.decode_jpeg(
            data, "GRAY" if grey else "RGB", min_height=height, min_width=width, min_factor=1
        )
        if grey:
            pixels = pixels[:, :, 0]
        if orientation == 1 and pixels.shape[:2] == (height, width):
            return pixels  # type: ignore[no-any-return]  # converting to an Image and back takes 15 us
        return turn_upright(Image.fromarray(pixels), orientation)

    def _too_many(self, size: str, n_pixels: int) -> TooManyPixels:
        return TooManyPixels(
            f"modality '{self.name}': {size} pixels, at most {self._max_pixels:,} are taken",
            modality=self.name, expected=self._max_pixels, received=n_pixels,
        )  # fmt: skip

    def _undecodable(self, why: str) -> UndecodableImage:
        return UndecodableImage(f"modality '{self.name}': {why}", modality=self.name, expected="an image")


def put_channels_first(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(height, width) or (height, width, channels) -> (channels, height, width)"""
    return pixels[None] if pixels.ndim == 2 else np.ascontiguousarray(pixels.transpose(2, 0, 1))


class Share:
    """The number of pixels that all threads together may be decoding: up to 13 bytes of memory for each."""

    def __init__(self, pixels: int) -> None:
        self._free = pixels
        self._changed = threading.Condition()

    @contextlib.contextmanager
    def reserve(self, pixels: int) -> Iterator[None]:
        """Wait until that many pixels are free; small images do not count."""
        if pixels <= MIN_SHARED_PIXELS:
            yield
            return
        with self._changed:
            self._changed.wait_for(lambda: self._free >= pixels)
            self._free -= pixels
        try:
            yield
        finally:
            with self._changed:
                self._free += pixels
                self._changed.notify_all()


def count_scans(jpeg: bytes) -> int:
    """Count the scans that begin.

    Thirty times as fast as bytes.count, which is slow because 0xFF is frequent in the data.
    """
    array = np.frombuffer(jpeg, np.uint8)
    return int(np.count_nonzero((array[:-1] == 0xFF) & (array[1:] == 0xDA)))


TURNS = {
    2: (Image.Transpose.FLIP_LEFT_RIGHT,),
    3: (Image.Transpose.ROTATE_180,),
    4: (Image.Transpose.FLIP_TOP_BOTTOM,),
    5: (Image.Transpose.TRANSPOSE,),
    6: (Image.Transpose.ROTATE_270,),
    7: (Image.Transpose.TRANSVERSE,),
    8: (Image.Transpose.ROTATE_90,),
}


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


def convert_mode(image: Image.Image, mode: str) -> Image.Image:
    """Convert the first frame to L or RGB; 16-bit greys are scaled to 8, transparency becomes white."""
    image.seek(0)
    image.load()
    if image.mode.startswith("I;16") or image.mode == "I":
        # Pillow would clip these at 255; deep PNGs use all 16 bits.
        deep = np.asarray(image, np.int64).clip(0, 65535)
        image = Image.fromarray((deep >> 8).astype(np.uint8))
    elif image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image.convert(mode)
