"""Image features: the bytes of a picture become a small uint8 array.

JPEGs are decoded at the smallest scale that still covers the wanted size, which is several times
faster than decoding all pixels. It gives other pixels than decode-then-resize does, so this is the
only decoder: training uses it too.
"""

import contextlib
import io
import threading
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pybase64
import simplejpeg
from numpy.typing import NDArray
from PIL import Image

from tailfuse_service.bundle.features.tabular import json_type
from tailfuse_service.bundle.limits import DEFAULT_LIMITS, PILLOW_MAX_PIXELS, Limits
from tailfuse_service.bundle.manifest import ImageModality
from tailfuse_service.errors import InvalidInput, TooManyPixels, UndecodableImage

JPEG_MAGIC = b"\xff\xd8\xff"
ORIENTATION = 0x0112  # the EXIF tag
# A scan of a progressive JPEG can be 14 bytes long, and costs a pass over all pixels: a small file of
# many keeps a core busy for an hour. Cameras and editors write about ten.
MAX_SCANS = 100
HARMLESS = 10**10  # bytes times pixels: below it no number of scans takes longer than half a second
SMALL = 1_000_000  # pixels of which any number of threads may decode at once
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
    """A picture's bytes, or their base64, as uint8 of shape (channels, height, width)."""

    def __init__(self, name: str, modality: ImageModality, limits: Limits = DEFAULT_LIMITS) -> None:
        self.name = name
        self.modality = modality
        self._max_pixels = limits.max_pixels
        self._share = Share(limits.max_pixels)

    def apply(self, raw: Any) -> NDArray[np.uint8] | None:
        """The picture's pixels, upright, scaled to the modality's size; None if there are no bytes."""
        data = self._bytes(raw)
        if not data:
            return None
        try:
            picture = self._decode(data)
            if isinstance(picture, np.ndarray):
                return channels_first(picture)
        except InvalidInput:
            raise
        except Image.DecompressionBombError:
            raise self._too_many(f"more than {PILLOW_MAX_PIXELS:,}", PILLOW_MAX_PIXELS + 1) from None
        except Exception as error:  # decoders raise whatever they like
            raise self._undecodable("the bytes are not a picture that can be read") from error
        size = (self.modality.width, self.modality.height)
        if picture.size != size:
            picture = picture.resize(size, Image.Resampling.BILINEAR)
        return channels_first(np.asarray(picture, np.uint8))

    def stack(self, rows: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
        shape = (0, self.modality.channels, self.modality.height, self.modality.width)
        return np.array(rows, np.uint8) if rows else np.zeros(shape, np.uint8)

    def schema(self) -> dict[str, Any]:
        return {
            "description": f"The picture's file (JPEG, PNG, …) in base64; "
            f"scaled to {self.modality.width} x {self.modality.height}.",
            "type": ["string", "null"],
            "contentEncoding": "base64",
        }

    def _bytes(self, raw: Any) -> bytes:
        if isinstance(raw, bytes | bytearray | memoryview):
            return bytes(raw)
        if not isinstance(raw, str):
            raise InvalidInput(
                f"modality '{self.name}': expected a picture as a base64 string, not {json_type(raw)}",
                modality=self.name, expected="base64 string", received=json_type(raw),
            )  # fmt: skip
        if raw.startswith("data:"):
            raw = raw.partition(",")[2]
        try:
            return pybase64.b64decode(raw, validate=True)
        except ValueError:
            raise InvalidInput(
                f"modality '{self.name}': the string is not base64",
                modality=self.name, expected="base64 string", received="other characters",
            ) from None  # fmt: skip

    def _decode(self, data: bytes) -> Image.Image | NDArray[np.uint8]:
        """Upright; an array, (height, width[, channels]), if it has the wanted size already."""
        if data.startswith(JPEG_MAGIC):
            height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
            self._check(data, width, height)
            if colours in ("YCbCr", "RGB", "Gray"):
                return self._decode_jpeg(data)
        with Image.open(io.BytesIO(data), formats=FORMATS) as picture:
            self._check(data, picture.width, picture.height)
            if picture.mode == "F":
                raise self._undecodable("its pixels are floats; whole numbers of 8 or 16 bits are taken")
            with self._share.taken(picture.width * picture.height):
                flat = to_mode(picture, "L" if self.modality.channels == 1 else "RGB")
                # Loading has set a TIFF upright already, and taken the tag away.
                return upright(flat, orientation_of(picture))

    def _check(self, data: bytes, width: int, height: int) -> None:
        """By what the header says: nothing is decoded yet. Raises TooManyPixels or UndecodableImage."""
        n_pixels = width * height
        if n_pixels > self._max_pixels:
            raise self._too_many(f"{width} x {height}", n_pixels)
        if n_pixels * len(data) > HARMLESS and data.startswith(JPEG_MAGIC):
            n_scans = scans_of(data)
            if n_scans > MAX_SCANS:
                raise self._undecodable(f"a JPEG of {n_scans:,} scans, at most {MAX_SCANS} are taken")

    def _decode_jpeg(self, data: bytes) -> Image.Image | NDArray[np.uint8]:
        """Upright, decoded at the smallest of the scales 1/8..8/8 that covers the wanted size."""
        grey = self.modality.channels == 1
        height, width = self.modality.height, self.modality.width
        orientation = 1
        if b"Exif\0\0" in data or b"tiff:Orientation" in data:  # most are spared Pillow's 17 us
            with Image.open(io.BytesIO(data), formats=["JPEG"]) as header:
                orientation = orientation_of(header)
        if orientation >= 5:  # a quarter turn comes after the decoding
            height, width = width, height
        pixels = simplejpeg.decode_jpeg(
            data, "GRAY" if grey else "RGB", min_height=height, min_width=width, min_factor=1
        )
        if grey:
            pixels = pixels[:, :, 0]
        if orientation == 1 and pixels.shape[:2] == (height, width):
            return pixels  # type: ignore[no-any-return]  # making a picture of it and back takes 15 us
        return upright(Image.fromarray(pixels), orientation)

    def _too_many(self, size: str, n_pixels: int) -> TooManyPixels:
        return TooManyPixels(
            f"modality '{self.name}': {size} pixels, at most {self._max_pixels:,} are taken",
            modality=self.name, expected=self._max_pixels, received=n_pixels,
        )  # fmt: skip

    def _undecodable(self, why: str) -> UndecodableImage:
        return UndecodableImage(f"modality '{self.name}': {why}", modality=self.name, expected="a picture")


def channels_first(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(height, width) or (height, width, channels) -> (channels, height, width)"""
    return pixels[None] if pixels.ndim == 2 else np.ascontiguousarray(pixels.transpose(2, 0, 1))


class Share:
    """How many pixels all threads together may be decoding: up to 13 bytes of memory for each."""

    def __init__(self, pixels: int) -> None:
        self._free = pixels
        self._changed = threading.Condition()

    @contextlib.contextmanager
    def taken(self, pixels: int) -> Iterator[None]:
        """Waits until there are so many; small pictures do not count."""
        if pixels <= SMALL:
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


def scans_of(jpeg: bytes) -> int:
    """How many scans begin. Thirty times as fast as bytes.count, whose needle's first byte is everywhere."""
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


def orientation_of(picture: Image.Image) -> int:
    """The EXIF orientation, 1..8; 1 if there is none, or none that can be read."""
    try:
        orientation = picture.getexif().get(ORIENTATION)
        return int(orientation) if orientation in TURNS else 1
    except Exception:  # damaged EXIF does not make a picture unreadable
        return 1


def upright(picture: Image.Image, orientation: int) -> Image.Image:
    """The picture as its EXIF orientation (1..8) means it to be seen."""
    for turn in TURNS.get(orientation, ()):
        picture = picture.transpose(turn)
    return picture


def to_mode(picture: Image.Image, mode: str) -> Image.Image:
    """The first frame as L or RGB; 16-bit greys are scaled to 8, transparency is laid on white."""
    picture.seek(0)
    picture.load()
    if picture.mode.startswith("I;16") or picture.mode == "I":
        # Pillow would clip these at 255; deep PNGs use all 16 bits.
        deep = np.asarray(picture, np.int64).clip(0, 65535)
        picture = Image.fromarray((deep >> 8).astype(np.uint8))
    elif picture.has_transparency_data:
        picture = picture.convert("RGBA")
        white = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(white, picture)
    return picture.convert(mode)
