"""Formats that an optional package reads: HEIC by pillow-heif, DICOM by pydicom."""

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tailfuse_service.errors import install_hint
from tailfuse_service.modalities.image.formats import OPTIONAL_PACKAGES


class MissingPackage(Exception):
    """The package that reads a format is not installed."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"the image is {name}, which needs {OPTIONAL_PACKAGES[name]}: {install_hint('formats')}"
        )


def open_heic(data: bytes) -> Image.Image:
    """Open a HEIC file; its header only, until it is loaded. Raises MissingPackage."""
    try:
        from pillow_heif import HeifImageFile
    except ImportError:
        raise MissingPackage("HEIC") from None
    image: Image.Image = HeifImageFile(io.BytesIO(data))  # type: ignore[no-untyped-call]
    return image


def open_dicom(data: bytes) -> Any:
    """Read a DICOM file's elements; the pixels stay as they are stored. Raises MissingPackage."""
    try:
        from pydicom import dcmread
    except ImportError:
        raise MissingPackage("DICOM") from None
    return dcmread(io.BytesIO(data))


def find_mode(dicom: Any) -> str:
    """Return the mode of the image that `load_dicom` makes with `windowed`."""
    if dicom.SamplesPerPixel > 1:
        return "RGB"
    return "L" if has_window(dicom) else "F"


def load_dicom(dicom: Any, *, windowed: bool) -> Image.Image:
    """Decode the first frame: RGB; or L in the file's own window, as viewers show it; or F if it has none.

    Without `windowed` greys are F: the stored values after the rescale slope and intercept, in Hounsfield
    units for CT. In MONOCHROME1, where low values are bright, L is inverted and the sign of F is changed.
    """
    from pydicom.pixels.processing import apply_rescale, convert_color_space
    from pydicom.pixels.utils import pixel_array

    pixels = pixel_array(dicom, index=0)
    photometric = dicom.PhotometricInterpretation
    if photometric == "PALETTE COLOR":
        raise ValueError("a DICOM file with a palette")
    if dicom.SamplesPerPixel > 1:
        if photometric.startswith("YBR"):
            pixels = convert_color_space(pixels, photometric, "RGB")
        return Image.fromarray(pixels)
    values = apply_rescale(pixels, dicom)
    inverted = photometric == "MONOCHROME1"
    if windowed and has_window(dicom):
        shown = apply_window(values, dicom)
        return Image.fromarray(255 - shown if inverted else shown)
    values = values.astype(np.float32)
    return Image.fromarray(-values if inverted else values)


def has_window(dicom: Any) -> bool:
    """Return whether the file says in which window its greys are to be shown."""
    return "WindowWidth" in dicom or "VOILUTSequence" in dicom


def apply_window(values: NDArray[Any], dicom: Any) -> NDArray[np.uint8]:
    """Show values in the file's window, as 0..255; in the first one, if it has several."""
    from pydicom.pixels.processing import apply_voi, apply_windowing

    if "VOILUTSequence" in dicom:
        shown, low, high = apply_voi(values, dicom), 0, 2 ** dicom.VOILUTSequence[0].LUTDescriptor[2] - 1
    else:
        shown = apply_windowing(values, dicom)
        low, high = apply_windowing(np.array([-1e30, 1e30]), dicom)  # what black and white are in this file
    greys: NDArray[np.uint8] = np.rint((shown - low) * (255 / (high - low))).clip(0, 255).astype(np.uint8)
    return greys
