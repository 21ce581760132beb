"""Pictures that are damaged, lie about themselves, or are merely rare; all of them made here."""

import io
import struct
import zipfile
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, PngImagePlugin

SIZE = (6, 8)  # what the tiny bundle takes: nothing is scaled, so that pixels can be compared
ORIENTATION = 0x0112
UNDECODABLE = ("undecodable-image",)
NOISE = b"Exif\0\0" + bytes(range(200))
TOO_MANY_PIXELS = ("too-many-pixels",)


@dataclass(frozen=True, slots=True)
class Picture:
    """A file and what becomes of it: one of these problems, or what `same_as` would be answered."""

    data: bytes
    slugs: tuple[str, ...] = ()
    same_as: Image.Image | None = None


def art(seed: int = 0) -> Image.Image:
    """A picture of random colours in which every pixel counts."""
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (8, 6, 3), np.uint8))


def encode_file(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def chunk(name: bytes, data: bytes) -> bytes:
    """One chunk of a PNG."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(size: tuple[int, int], data: bytes, *, depth: int = 8, colour: int = 2, more: bytes = b"") -> bytes:
    """A PNG by hand: `data` are its rows, each behind a filter byte; `more` are chunks before them."""
    header = struct.pack(">IIBBBBB", *size, depth, colour, 0, 0, 0)
    chunks = chunk(b"IHDR", header) + more + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def make_rows(pixels: Any) -> bytes:
    """A PNG's rows, (height, ...), unfiltered."""
    return b"".join(b"\0" + row.tobytes() for row in pixels)


def with_jpeg_size(data: bytes, width: int, height: int) -> bytes:
    """A baseline JPEG whose header says another size."""
    at = data.index(b"\xff\xc0") + 5
    return data[:at] + struct.pack(">HH", height, width) + data[at + 4 :]


def turned(kind: str, **options: Any) -> bytes:
    """art(), lying on its side, with the note that says so."""
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    return encode_file(art().transpose(Image.Transpose.ROTATE_90), kind, exif=exif, **options)


def tiff_that_goes_round() -> bytes:
    """Its directory of tags says that the next one is itself."""
    tags = ((256, 6), (257, 8), (258, 8), (259, 1), (262, 1), (273, 200), (277, 1), (278, 8), (279, 48))
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    directory = struct.pack("<H", len(tags)) + entries + struct.pack("<I", 8)
    return (b"II*\0" + struct.pack("<I", 8) + directory).ljust(200, b"\0") + bytes(range(48))


def make_zip(name: str, data: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(name, data)
    return file.getvalue()


def broken() -> dict[str, Picture]:
    """What is no picture."""
    jpeg, whole = encode_file(art(), "JPEG"), encode_file(art())
    cut = {
        f"a {kind} cut at {share:.0%}": data[: int(len(data) * share)]
        for kind, data in (("JPEG", jpeg), ("PNG", whole), ("GIF", encode_file(art(), "GIF")))
        for share in (0.02, 0.3, 0.6)
    }
    others = {
        "a PNG whose sum is wrong": whole[:20] + bytes([whole[20] ^ 1]) + whole[21:],
        "a PNG of no pixels": png((0, 0), b""),
        "a PNG without pixels": png(SIZE, b""),
        "a PNG without its header": whole[:8] + whole[33:],
        "a PNG of an unknown depth": png(SIZE, bytes(200), depth=7),
        "a JPEG of no pixels": with_jpeg_size(jpeg, 0, 0),
        "a JPEG of markers alone": b"\xff\xd8\xff" * 1000,
        "a zip called .jpg": make_zip("x.txt", b"x" * 100),
        "an SVG": b'<svg xmlns="http://www.w3.org/2000/svg" width="6" height="8"/>',
        "an SVG that reads a file": b'<!DOCTYPE svg [<!ENTITY x SYSTEM "file:///etc/passwd">]><svg>&x;</svg>',
        "a page": b"<!DOCTYPE html><script>alert(1)</script>",
        "a PostScript program": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nquit\n",
        "a PDF": b"%PDF-1.7\n1 0 obj\n<<>>\nendobj\n",
        "a shell script": b"#!/bin/sh\nrm -rf /\n",
        "a Windows metafile": b"\xd7\xcd\xc6\x9a" + bytes(100),
        "a film": b"\0\0\0\x1cftypisom" + bytes(100),
        "an AVIF of nothing": b"\0\0\0\x1cftypavif" + bytes(100),
        "a thousand zeros": bytes(1000),
        "one byte": b"\xff",
    }
    return {name: Picture(data, UNDECODABLE) for name, data in {**cut, **others}.items()}


def bombs() -> dict[str, Picture]:
    """What would fill the memory if it were believed."""
    jpeg = encode_file(art(), "JPEG")
    gif = encode_file(art(), "GIF")
    megabytes = zlib.compress(bytes(64 << 20), 9)
    too_many = {
        "a PNG of 50,000 x 50,000": png((50_000, 50_000), bytes(1000)),
        "a PNG of 2^31 - 1 squared": png((2**31 - 1, 2**31 - 1), bytes(1000)),
        "a JPEG of 65,500 x 65,500": with_jpeg_size(jpeg, 65_500, 65_500),
        "a GIF of 65,535 x 65,535": gif[:6] + b"\xff\xff\xff\xff" + gif[10:],
        "a PPM of a million squared": b"P6 1000000 1000000 255\n" + bytes(100),
        "a BMP of a million squared": (
            b"BM" + struct.pack("<IHHI", 200, 0, 0, 54)
            + struct.pack("<IiiHHIIiiII", 40, 1_000_000, 1_000_000, 1, 24, 0, 0, 0, 0, 0, 0) + bytes(100)
        ),
    }  # fmt: skip
    hidden = {
        "64 MiB in a PNG's colour profile": chunk(b"iCCP", b"x\0\0" + megabytes),
        "64 MiB in a PNG's text": chunk(b"zTXt", b"x\0\0" + megabytes),
        "70 MiB in a PNG's many texts": chunk(b"zTXt", b"x\0\0" + zlib.compress(bytes(1 << 19))) * 140,
    }
    return {
        **{name: Picture(data, TOO_MANY_PIXELS) for name, data in too_many.items()},
        # These are refused, or left alone: the picture beside them is whole.
        **{
            name: Picture(png(SIZE, make_rows(np.asarray(art())), more=more), UNDECODABLE, art())
            for name, more in hidden.items()
        },
    }


def rare() -> dict[str, Picture]:
    """What is a picture, if an odd one."""
    image = art()
    blue = Image.new("RGB", SIZE, (0, 0, 200))
    random = np.random.default_rng(1)
    deep = random.integers(0, 65536, (8, 6), np.uint16)
    deep_colour = random.integers(0, 65536, (8, 6, 3), np.uint16)
    palette = Image.fromarray(random.integers(0, 4, (8, 6), np.uint8))
    palette = Image.frombytes("P", SIZE, palette.tobytes())
    palette.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255, 9, 9, 9])
    clear = Image.fromarray(random.integers(0, 256, (8, 6, 4), np.uint8))
    on_white = Image.alpha_composite(Image.new("RGBA", SIZE, "white"), clear)
    grey = Image.fromarray((deep >> 8).astype(np.uint8))
    cmyk = Image.new("CMYK", SIZE, (200, 30, 0, 20))
    dots = Image.fromarray(random.integers(0, 2, (8, 6), np.uint8) * 255).convert("1")
    info = PngImagePlugin.PngInfo()
    info.add_text("comment", "'; DROP TABLE samples; --" * 100)
    jpeg = encode_file(blue, "JPEG", quality=100)
    side = turned("JPEG", quality=100, subsampling=0)
    ink = encode_file(cmyk, "JPEG", quality=100)
    seen = {
        "an animated GIF": (encode_file(palette, "GIF", save_all=True, append_images=[blue]), palette),
        "an animated PNG": (encode_file(image, save_all=True, append_images=[blue]), image),
        "an animated WebP": (
            encode_file(image, "WEBP", save_all=True, append_images=[blue], lossless=True, exact=True), image,
        ),
        "a PNG on its side": (turned("PNG"), image),
        "a JPEG on its side": (side, Image.open(io.BytesIO(side)).transpose(Image.Transpose.ROTATE_270)),
        "a JPEG whose EXIF is noise": (
            encode_file(blue, "JPEG", quality=100, exif=NOISE), Image.open(io.BytesIO(jpeg)),
        ),
        "a WebP on its side": (turned("WEBP", lossless=True), image),
        "a TIFF on its side": (turned("TIFF"), image),
        "a PNG whose EXIF is noise": (encode_file(image, exif=NOISE), image),
        "a PNG whose orientation is 99": (encode_file(image, exif=exif_with(99)), image),
        "a 16-bit PNG": (png(SIZE, make_rows(deep.astype(">u2")), depth=16, colour=0), grey),
        "a 16-bit PNG in colour": (
            png(SIZE, make_rows(deep_colour.astype(">u2")), depth=16),
            Image.fromarray((deep_colour >> 8).astype(np.uint8)),
        ),
        "a PNG of one bit": (encode_file(dots), dots),
        "a PNG with a palette": (encode_file(palette), palette),
        "a PNG that is clear in parts": (encode_file(clear), on_white),
        "a palette with a clear colour": (
            encode_file(Image.frombytes("P", SIZE, bytes(48)), transparency=0),
            Image.new("RGB", SIZE, "white"),
        ),
        "a CMYK JPEG": (ink, Image.open(io.BytesIO(ink))),
        "1 x 1": (encode_file(Image.new("RGB", (1, 1), (9, 99, 199))), Image.new("RGB", SIZE, (9, 99, 199))),
        "1 x 50,000": (encode_file(Image.new("RGB", (1, 50_000), "red")), Image.new("RGB", SIZE, "red")),
        "50,000 x 1": (encode_file(Image.new("RGB", (50_000, 1), "red")), Image.new("RGB", SIZE, "red")),
        "a PNG with a comment": (encode_file(image, pnginfo=info), image),
        "a PNG with a zip behind it": (encode_file(image) + make_zip("x", b"x"), image),
        "a JPEG that is a script as well": (
            jpeg[:2] + b"\xff\xfe\x00\x22" + b"<script>alert(1)</script>".ljust(32) + jpeg[2:],
            Image.open(io.BytesIO(jpeg)),
        ),
        "a TIFF that goes round": (
            tiff_that_goes_round(), Image.frombytes("L", SIZE, bytes(range(48))),
        ),
        "a PPM": (encode_file(image, "PPM"), image),
        "a BMP": (encode_file(image, "BMP"), image),
        "a TGA": (encode_file(image, "TGA"), image),
    }  # fmt: skip
    return {name: Picture(data, same_as=same.convert("RGB")) for name, (data, same) in seen.items()}


def exif_with(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return exif


def pictures() -> dict[str, Picture]:
    """All of them by name."""
    return {**broken(), **bombs(), **rare()}
