"""Image features: the bytes of an image become a small uint8 array.

JPEGs are decoded at the smallest scale that still covers the wanted size, which is several times
faster than decoding all pixels. The pixels differ from those of decode-then-resize, so this is the
only decoder: training uses it too.
"""

import io
import warnings
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image

from tailfuse_service.errors import InvalidInput, ServiceError, TooManyPixels, UndecodableImage
from tailfuse_service.modalities.base64_text import decode_base64
from tailfuse_service.modalities.decoding import DECODING, TooMuchMemory, WouldWait
from tailfuse_service.modalities.image.formats import FORMATS, identify_format
from tailfuse_service.modalities.image.header import Header, decode_cost, is_progressive
from tailfuse_service.modalities.image.optional import (
    MissingPackage,
    find_mode,
    load_dicom,
    open_dicom,
    open_heic,
)
from tailfuse_service.modalities.image.pixels import (
    Mode,
    Range,
    UnfitPixels,
    convert_mode,
    load_pixels,
    read_orientation,
    scale_shallow,
    to_array,
    turn_upright,
)
from tailfuse_service.modalities.json_text import json_type
from tailfuse_service.modalities.limits import DEFAULT_LIMITS, PILLOW_MAX_PIXELS, Limits

JPEG_MAGIC = b"\xff\xd8\xff"
# A scan of a progressive JPEG can be 14 bytes long, and costs a pass over all pixels: a small file with
# many scans keeps a core busy for an hour. Cameras and editors write about ten.
MAX_SCANS = 100
MIN_CHECKED = 10**10  # bytes times pixels: below it no number of scans takes longer than half a second
SMALL_PIXELS = 256 * 1024  # a JPEG of fewer takes too little memory to be counted
SCALED_BYTES = 24  # of memory for each pixel of the modality's size, while a larger image is scaled to it


def suppress_pillow_warnings() -> None:
    """Do not warn of damaged EXIF blocks and large images: `max_pixels` is checked before decoding.

    For the whole process, since `catch_warnings` is not thread-safe; programs call it, importing does not.
    """
    warnings.filterwarnings("ignore", module=r"PIL\.")


class ImageFeatures:
    """The bytes of an image file, or their base64, as uint8 of shape (channels, height, width).

    `pixel_range` becomes 0..255; `deep`: the training images had more than 8 bits (see pixels.py).
    """

    def __init__(
        self,
        name: str,
        *,
        height: int,
        width: int,
        channels: Literal[1, 3],
        pixel_range: Range | None = None,
        deep: bool = False,
        formats: Collection[str] = FORMATS,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        self.name = name
        self.height, self.width, self.channels = height, width, channels
        self._mode: Mode = "L" if channels == 1 else "RGB"
        self._range, self._deep = pixel_range, deep
        self._formats = frozenset(formats)
        self._max_pixels, self._waits = limits.max_pixels, limits.waits

    def apply(self, raw: Any) -> NDArray[np.uint8] | None:
        """Return the pixels, upright, scaled to the modality's size; None if there are no bytes."""
        data = self._read_bytes(raw)
        if not data:
            return None
        try:
            image = self._decode(data)
            if isinstance(image, np.ndarray):
                return put_channels_first(image)
            size = (self.width, self.height)
            if image.size != size:
                image = image.resize(size, Image.Resampling.BILINEAR)
            return put_channels_first(to_array(image, self._mode))
        except ServiceError:
            raise
        except Exception as error:  # decoders raise exceptions of any type
            raise self._explain(error) from error

    def read_values(self, data: bytes) -> NDArray[Any]:
        """Return all pixels as the file has them, for fitting: of any depth, neither scaled nor turned."""
        try:
            with self._open(data) as image:
                return np.asarray(load_pixels(image, self._mode))
        except ServiceError:
            raise
        except Exception as error:
            raise self._explain(error) from error

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

    def _explain(self, error: Exception) -> InvalidInput:
        """Turn what a decoder raises into InvalidInput."""
        if isinstance(error, UnfitPixels | MissingPackage):
            return self._undecodable(str(error))
        if isinstance(error, Image.DecompressionBombError):
            return self._too_many(f"more than {PILLOW_MAX_PIXELS:,}", PILLOW_MAX_PIXELS + 1)
        return self._undecodable("the bytes are not an image that can be read")

    def _decode(self, data: bytes) -> Image.Image | NDArray[np.uint8]:
        """Return the image upright; an array (height, width[, channels]) if it has the wanted size."""
        if data.startswith(JPEG_MAGIC):
            height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
            self._check(data, width, height)
            if colours in ("YCbCr", "RGB", "Gray"):
                if width * height <= SMALL_PIXELS:
                    return self._decode_jpeg(data)
                with self._reserve(Header("JPEG", "RGB", width, height, is_progressive(data))):
                    return self._decode_jpeg(data)
        with self._open(data) as image:
            flat = convert_mode(image, self._mode, self._range, self._deep)
            # Loading turns a TIFF upright and removes the tag.
            return turn_upright(flat, read_orientation(image))

    @contextmanager
    def _reserve(self, header: Header) -> Iterator[None]:
        """Wait until there is memory to decode the image. Raises TooManyPixels, Overloaded."""
        try:
            n_bytes = decode_cost(header) + SCALED_BYTES * self.height * self.width
            with DECODING.reserve(n_bytes, waits=self._waits):
                yield
        except WouldWait:  # the engine asks again in a thread
            raise self._too_many(f"{header.width} x {header.height}", header.width * header.height) from None
        except TooMuchMemory as error:
            raise TooManyPixels(
                f"modality '{self.name}': {header.format} of {header.width} x {header.height} pixels takes "
                f"{error.needed:,} bytes of memory to decode; there are {error.limit:,} for it",
                modality=self.name, expected=error.limit, received=error.needed,
            ) from None  # fmt: skip

    @contextmanager
    def _open(self, data: bytes) -> Iterator[Image.Image]:
        """Open an image of one of the accepted formats, check its header, and reserve memory for it."""
        name = identify_format(data)
        if name is None and "TGA" in self._formats:
            name = "TGA"  # its files have no signature
        if name not in self._formats:
            raise self._refuse_format(name)
        if name == "DICOM":
            dicom = open_dicom(data)
            self._check(data, dicom.Columns, dicom.Rows)
            with self._reserve(Header(name, find_mode(dicom), dicom.Columns, dicom.Rows)):
                yield load_dicom(dicom, windowed=self._range is None)
            return
        image = open_heic(data) if name == "HEIC" else Image.open(io.BytesIO(data), formats=[str(name)])
        self._check(data, image.width, image.height)
        with self._reserve(Header(str(name), image.mode, image.width, image.height)), image:
            yield image

    def _refuse_format(self, name: str | None) -> UndecodableImage:
        if name is None:
            return self._undecodable("the bytes are not an image that can be read")
        if name not in FORMATS:
            return self._undecodable(f"the bytes are a file of format {name}, which is not read")
        accepted = ", ".join(sorted(self._formats))
        return self._undecodable(
            f"the image is {name}; this model accepts {accepted} (the setting --image-formats adds {name})"
        )

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
        if self._range is not None:
            image = scale_shallow(Image.fromarray(pixels), self._range, self._deep)
            return turn_upright(image, orientation)
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


def count_scans(jpeg: bytes) -> int:
    """Count the scans that begin.

    Thirty times as fast as bytes.count, which is slow because 0xFF is frequent in the data.
    """
    array = np.frombuffer(jpeg, np.uint8)
    return int(np.count_nonzero((array[:-1] == 0xFF) & (array[1:] == 0xDA)))
