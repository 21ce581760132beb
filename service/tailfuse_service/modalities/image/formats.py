"""The format of an image file, by its first bytes: a file's name and a client's media type may be wrong."""

from PIL import Image

# Pillow reads forty formats, and starts another program for one of them (EPS). It is given these only. Pillow
# built without a library lacks some.
Image.init()
PILLOW_FORMATS = frozenset(
    {"AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TGA", "TIFF", "WEBP"} & Image.OPEN.keys()
)
OPTIONAL_PACKAGES = {"DICOM": "pydicom", "HEIC": "pillow-heif"}  # format: the package that reads it
FORMATS = PILLOW_FORMATS | OPTIONAL_PACKAGES.keys()
DEFAULT_FORMATS = frozenset({"JPEG", "PNG", "WEBP"})
# Bundles without a list of formats accept those whose decoders release the interpreter's lock. JPEG 2000 does
# not: 4000 x 4000 pixels stop all other threads for 6 s of CPU time; in any other format, for 0.3 s at most.
LEGACY_FORMATS = PILLOW_FORMATS - {"JPEG2000"}

PREFIXES = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"GIF87a": "GIF",
    b"GIF89a": "GIF",
    b"BM": "BMP",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"II+\0": "TIFF",
    b"MM\0+": "TIFF",
    b"\xff\x4f\xff\x51": "JPEG2000",
    b"\0\0\0\x0cjP  ": "JPEG2000",
    b"P1": "PPM", b"P2": "PPM", b"P3": "PPM", b"P4": "PPM", b"P5": "PPM", b"P6": "PPM", b"Pf": "PPM",
    # Files that people send by mistake. Their names are for the message only.
    b"%PDF": "PDF",
    b"%!PS": "PostScript",
    b"8BPS": "Photoshop",
    b"\xff\x0a": "JPEG XL",
    b"\0\0\0\x0cJXL ": "JPEG XL",
    b"v/1\x01": "OpenEXR",
    b"SIMPLE  =": "FITS",
    b"\x1f\x8b": "gzip",
    b"PK\x03\x04": "ZIP",
    b"\x93NUMPY": "NumPy",
    b"<svg": "SVG",
    b"<?xml": "XML",
    b"<!doctype html": "HTML",
    b"<html": "HTML",
}  # fmt: skip
HEIC_BRANDS = {b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"hevm", b"hevs", b"mif1", b"msf1"}


def identify_format(data: bytes) -> str | None:
    """Return the name of the format, which need not be one of FORMATS; None if it is unknown.

    TGA cannot be identified: its files begin with no signature.
    """
    for prefix, name in PREFIXES.items():
        if data.startswith(prefix):
            return name
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    if data[4:8] == b"ftyp":
        return identify_heif(data)
    if data[128:132] == b"DICM":
        return "DICOM"
    start = data[:16].lstrip().lower()
    return next(
        (name for prefix, name in PREFIXES.items() if prefix[:1] == b"<" and start.startswith(prefix)), None
    )


def identify_heif(data: bytes) -> str | None:
    """Return AVIF or HEIC, by the brands in its first box; None for other contents, such as video."""
    length = min(int.from_bytes(data[:4]), 256)
    brands = [data[at : at + 4] for at in (8, *range(16, length, 4))]
    if b"avif" in brands or b"avis" in brands:
        return "AVIF"
    return "HEIC" if HEIC_BRANDS & set(brands) else None
