"""The header of an image file, and the memory that decoding the image takes."""

import io
from typing import NamedTuple

import simplejpeg
from PIL import Image

from tailfuse_service.modalities.image.formats import PILLOW_FORMATS, identify_format
from tailfuse_service.modalities.image.optional import find_mode, open_dicom, open_heic

SOF2 = 0xC2  # the marker of a progressive JPEG's frame
# Peak bytes per pixel while an image is decoded, by format, and by format and mode where a mode takes more.
# Measured with 16 million pixels, rounded up: tests/service/test_decode_cost.py measures them again.
BYTES_PER_PIXEL = {
    "AVIF": 14, "BMP": 9, "GIF": 14, "HEIC": 12, "JPEG": 2, "JPEG2000": 22, "PNG": 18, "PPM": 9, "TGA": 9,
    "TIFF": 9, "WEBP": 24, "DICOM": 44,
}  # fmt: skip
BYTES_PER_PIXEL_OF_MODE = {"I": 26, "F": 20, "RGBA": 18, "LA": 18, "PA": 18, "P": 14, "CMYK": 9}
PROGRESSIVE_JPEG = 7  # libjpeg keeps the coefficients of all pixels, two bytes for each of three colours
PNG_MODES = {0: "L", 2: "RGB", 3: "P", 4: "LA", 6: "RGBA"}  # by colour type
MIN_COST = 2**16  # bytes: buffers that do not depend on the size


class Header(NamedTuple):
    """The format and size of an image, from the first bytes of its file."""

    format: str
    # As Pillow names it; of a JPEG "L", "RGB" or "CMYK"; "RGB;16" of a PNG of which 8 bits are read.
    mode: str
    width: int
    height: int
    progressive: bool = False


def read_header(data: bytes) -> Header | None:
    """Read the header without decoding the image. None if the bytes are no image that Pillow can open."""
    try:
        if data.startswith(b"\xff\xd8\xff"):
            height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
            mode = {"Gray": "L", "YCbCr": "RGB", "RGB": "RGB"}.get(colours, "CMYK")
            return Header("JPEG", mode, width, height, is_progressive(data))
        name = identify_format(data) or "TGA"
        if name == "PNG":
            return read_png_header(data)
        if name == "DICOM":
            dicom = open_dicom(data)
            return Header(name, find_mode(dicom), dicom.Columns, dicom.Rows)
        if name == "HEIC":
            heic = open_heic(data)
            return Header(name, heic.mode, heic.width, heic.height)
        if name not in PILLOW_FORMATS:
            return None
        with Image.open(io.BytesIO(data), formats=[name]) as image:
            return Header(name, image.mode, image.width, image.height)
    except Exception:  # decoders raise exceptions of any type
        return None


def read_png_header(data: bytes) -> Header | None:
    """Read the first chunk of a PNG, thirty times as fast as Pillow."""
    if data[12:16] != b"IHDR" or len(data) < 26:
        return None
    width, height = int.from_bytes(data[16:20]), int.from_bytes(data[20:24])
    depth, colours = data[24], data[25]
    mode = PNG_MODES.get(colours)
    if mode == "L":
        mode = {1: "1", 16: "I;16"}.get(depth, "L")
    elif mode and depth == 16:
        mode += ";16"
    return Header("PNG", mode, width, height) if mode else None


def is_progressive(jpeg: bytes) -> bool:
    """Return whether the first frame of a JPEG is progressive."""
    at = 2
    while at + 4 <= len(jpeg) and jpeg[at] == 0xFF:
        marker = jpeg[at + 1]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            return marker == SOF2
        at += 1 if marker == 0xFF else 2 + int.from_bytes(jpeg[at + 2 : at + 4])
    return False


def decode_cost(header: Header) -> int:
    """Return an upper bound of the bytes of memory that decoding takes, without those of the file itself."""
    per_pixel = BYTES_PER_PIXEL.get(header.format, max(BYTES_PER_PIXEL.values()))
    if header.format != "JPEG" or header.mode == "CMYK":  # Pillow decodes CMYK at full size
        mode = header.mode.partition(";")[0]  # I;16 and I;16B are no larger than I
        per_pixel = max(per_pixel, BYTES_PER_PIXEL_OF_MODE.get(mode, 0))
    elif header.progressive:
        per_pixel = PROGRESSIVE_JPEG
    return MIN_COST + header.width * header.height * per_pixel
