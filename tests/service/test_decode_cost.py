"""The header of an image is enough to bound the memory that decoding takes."""

import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tailfuse_service.modalities.image.header import Header, decode_cost, read_header

SIDE = 2000
RGB = Image.fromarray(np.random.default_rng(0).integers(0, 255, (SIDE, SIDE, 3), np.uint8))
DEEP = Image.fromarray(np.zeros((SIDE, SIDE), np.int32))
CASES: dict[str, tuple[Image.Image, str, dict[str, Any]]] = {
    "JPEG": (RGB, "JPEG", {}),
    "JPEG-progressive": (RGB, "JPEG", {"progressive": True, "subsampling": 0}),
    "JPEG-cmyk": (RGB.convert("CMYK"), "JPEG", {}),
    "PNG": (RGB, "PNG", {"compress_level": 1}),
    "PNG-rgba": (RGB.convert("RGBA"), "PNG", {"compress_level": 1}),
    "PNG-transparent": (RGB, "PNG", {"compress_level": 1, "transparency": (1, 2, 3)}),
    "PNG-16-bits": (Image.fromarray(np.zeros((SIDE, SIDE), np.uint16)), "PNG", {}),
    "WEBP": (RGB, "WEBP", {"method": 0}),
    "WEBP-lossless": (RGB, "WEBP", {"method": 0, "lossless": True, "quality": 0}),
    "GIF": (RGB.convert("P"), "GIF", {}),
    "GIF-transparent": (RGB.convert("P"), "GIF", {"transparency": 1}),
    "BMP": (RGB, "BMP", {}),
    "TIFF": (RGB, "TIFF", {}),
    "TIFF-int32": (DEEP, "TIFF", {}),
    "TIFF-float": (DEEP.convert("F"), "TIFF", {}),
    "TIFF-deflate": (RGB, "TIFF", {"compression": "tiff_adobe_deflate"}),
    "TGA-rle": (RGB, "TGA", {"compression": "tga_rle"}),
    "PPM": (RGB, "PPM", {}),
    "JPEG2000": (RGB.resize((1000, 1000)), "JPEG2000", {}),
    "AVIF": (RGB, "AVIF", {"speed": 10}),
}

# Prints the growth of the peak of resident memory, in bytes, while one image is decoded.
MEASURE = """
import sys
from tailfuse_service.modalities import ImageModality
from tailfuse_service.modalities.image.formats import FORMATS
from tailfuse_service.modalities.limits import Limits
data, small = (open(name, "rb").read() for name in sys.argv[1:3])
deep = sys.argv[3] == "deep"
features = ImageModality(column="i", height=32, width=32, channels=3, deep=deep,
    range=(0, 4095) if deep else None).features("i", Limits(image_formats=FORMATS))
read = lambda: {line.split(":")[0]: line.split()[1] for line in open("/proc/self/status") if "Vm" in line}
features.apply(small)
open("/proc/self/clear_refs", "w").write("5")  # resets the peak
before = int(read()["VmRSS"])
features.apply(data)
print((int(read()["VmHWM"]) - before) * 1024)
"""


def encode(image: Image.Image, name: str, options: dict[str, Any]) -> bytes:
    file = io.BytesIO()
    image.save(file, name, **options)
    return file.getvalue()


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="reads the peak memory from /proc")
@pytest.mark.parametrize("case", CASES)
def test_decoding_takes_no_more_memory_than_its_cost(case: str, tmp_path: Path) -> None:
    image, name, options = CASES[case]
    data = encode(image, name, options)
    header = read_header(data)
    assert header is not None
    assert (header.format, header.width, header.height) == (name, *image.size)
    (tmp_path / "image").write_bytes(data)
    (tmp_path / "small").write_bytes(encode(image.resize((40, 40)), name, options))
    depth = "deep" if image.mode in ("I", "F", "I;16") else ""
    command = [sys.executable, "-c", MEASURE, str(tmp_path / "image"), str(tmp_path / "small"), depth]
    measured = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert measured <= decode_cost(header)
    # The bound is of use: no more than four times what it takes, where that is more than noise.
    assert measured < 2**22 or decode_cost(header) <= 4 * measured


@pytest.mark.parametrize("data", [b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"no image", b"%PDF-1.7"])
def test_what_is_no_image_has_no_header(data: bytes) -> None:
    assert read_header(data) is None


def test_the_cost_grows_with_the_pixels_and_the_depth() -> None:
    assert decode_cost(Header("TIFF", "I", 1000, 1000)) > decode_cost(Header("TIFF", "RGB", 1000, 1000))
    assert decode_cost(Header("JPEG", "RGB", 8000, 8000, True)) > decode_cost(
        Header("JPEG", "RGB", 8000, 8000)
    )
    assert decode_cost(Header("JPEG", "CMYK", 99, 99)) > decode_cost(Header("JPEG", "RGB", 99, 99))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_a_pngs_header_is_read_as_pillow_reads_it(mode: str) -> None:
    image = Image.new(mode, (31, 7))
    assert read_header(encode(image, "PNG", {})) == Header("PNG", mode, 31, 7)
