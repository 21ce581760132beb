"""Fit an image modality: grey or colour, formats, and the range and spread of the pixels' values."""

import logging
import math
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray
from tailfuse_service.bundle import InvalidInput
from tailfuse_service.modalities import ImageModality
from tailfuse_service.modalities.image.features import ImageFeatures
from tailfuse_service.modalities.image.formats import FORMATS, identify_format
from tailfuse_service.modalities.image.header import read_header
from tailfuse_service.modalities.image.pixels import Range, is_deep
from tailfuse_service.modalities.limits import Limits

from tailfuse.errors import TableError
from tailfuse.modalities.files import HEAD, read_bytes

SAMPLE = 200  # images whose pixels are measured first
SAMPLE_PIXELS = 4096  # of an image
MIN_LEVELS = 64  # images of 8 bits with fewer levels are stretched: 0/1 masks, images without contrast
MIN_STD = 16.0  # of pixels 0..255; below it the encoder standardises, or float32 loses too much of the signal
OUTLIERS = 0.05  # per cent of the pixels at either end that may not widen the range of deep images
MIN_BULK = 1 / 16  # of the range that all other pixels fill

CHUNK = 256  # images that are read at once
MAX_8_BITS = 255
REDUCED_MODES = {"LA;16", "RGB;16", "RGBA;16"}
GREY_MODES = {"1", "L", "LA", "I", "F"}

log = logging.getLogger("tailfuse")


class Values(NamedTuple):
    """The values of one image's pixels."""

    low: float
    high: float
    sample: NDArray[np.float64]


def fit_image(name: str, modality: ImageModality, cells: pl.Series, folder: Path) -> ImageModality:
    """Complete a modality, which has its column, size and perhaps a range, from the training images.

    `cells` are their paths, or their bytes. Raises TableError.
    """
    kinds = {kind for cell in cells if (kind := read_kind(cell, folder))}
    modes = {mode for _, mode in kinds}
    deep = {is_deep(mode) for mode in modes}
    if modes & REDUCED_MODES:
        log.warning(
            "modality '%s': some images have colours of 16 bits, of which the upper 8 are read. Convert them "
            "to 8 bits if they use fewer than 16", name,
        )  # fmt: skip
    fitted = modality.model_copy(
        update={
            "channels": 1 if {mode.partition(";")[0] for mode in modes} <= GREY_MODES else 3,
            "formats": tuple(sorted({name for name, _ in kinds})),
            "deep": True in deep,
        }
    )
    sample = cells[np.linspace(0, len(cells) - 1, min(len(cells), SAMPLE)).astype(int)]
    if modality.range is None:
        if deep == {True, False}:
            log.warning(
                "modality '%s': images of 8 bits and deeper ones are mixed: 16 bits are divided by 256. "
                "Convert them to one depth if they do not use all 16 bits", name,
            )  # fmt: skip
        learnt = learn_range(name, fitted, deep == {True}, cells, sample, folder)
        update = {"deep": deep == {True}, "range": learnt}
        fitted = fitted.model_copy(update=update)
    elif deep == {False} and modality.range[1] > MAX_8_BITS:
        raise TableError(
            f"modalities.{name}.range: {modality.range[1]:g} is above 255; the training images have 8 bits"
        )
    return standardise(name, fitted, sample, folder)


def read_kind(cell: str | bytes, folder: Path) -> tuple[str, str] | None:
    """Return an image's format and mode, by its header; None if it cannot be read: decoding names its row."""
    head = read_bytes(cell, folder, HEAD)
    if not isinstance(head, bytes):
        return None
    if identify_format(head) == "WEBP":  # Pillow opens it as a whole only
        return "WEBP", "RGB"
    header = read_header(head)
    if header is None and len(head) == HEAD and isinstance(whole := read_bytes(cell, folder), bytes):
        header = read_header(whole)
    return None if header is None else (header.format, header.mode)


def learn_range(
    name: str, modality: ImageModality, deep: bool, cells: pl.Series, sample: pl.Series, folder: Path
) -> Range | None:
    """Learn which values become 0..255: those of deep images, or of 8 bits if they use few levels.

    None for ordinary images of 8 bits, which keep their values.
    """
    features = make_features(name, modality)
    if not deep:
        # A DICOM file's own window decides what its values are.
        if "DICOM" in (modality.formats or ()) or not is_narrow(measure(features.apply, sample, folder)):
            return None
        return stretch_levels(name, list(measure(features.read_values, cells, folder)))
    return find_bulk(name, list(measure(features.read_values, cells, folder)))


def stretch_levels(name: str, values: list[Values]) -> Range | None:
    """Return the range of images of 8 bits, if it is narrow but not empty."""
    low, high = min(each.low for each in values), max(each.high for each in values)
    if not 0 < high - low < MIN_LEVELS:
        return None
    log.warning(
        "modality '%s': all pixels are %g..%g of 0..255, and that range is stretched "
        "(modalities.%s.range: [0, 255] leaves it)", name, low, high, name,
    )  # fmt: skip
    return low, high


def find_bulk(name: str, values: list[Values]) -> Range | None:
    """Return the range of deep images; without outliers, if these would leave few levels to all others."""
    if not values:
        return None
    low, high = min(each.low for each in values), max(each.high for each in values)
    ends = np.percentile(np.concatenate([each.sample for each in values]), [OUTLIERS, 100 - OUTLIERS])
    least, most = ends.tolist()
    if 0 < most - least < MIN_BULK * (high - low):
        log.warning(
            "modality '%s': pixels are %g..%g, but all except %g %% are %g..%g. That range is used, and "
            "values beyond it are clipped (modalities.%s.range sets another)",
            name, low, high, 2 * OUTLIERS, least, most, name,
        )  # fmt: skip
        return least, most
    return (low, high) if low < high else (low, low + 1)


def is_narrow(values: Iterable[Values]) -> bool:
    """Return whether the images use few of the levels 0..255."""
    found = list(values)
    return bool(found) and max(v.high for v in found) - min(v.low for v in found) < MIN_LEVELS


def standardise(name: str, modality: ImageModality, sample: pl.Series, folder: Path) -> ImageModality:
    """Add mean and spread of the pixels, if the spread is small: of dark images with a few bright pixels."""
    values = list(measure(make_features(name, modality).apply, sample, folder))
    pixels = np.concatenate([each.sample for each in values]) if values else np.zeros(0)
    if not len(pixels) or not 0 < pixels.std() < MIN_STD:
        return modality
    return modality.model_copy(update={"mean": float(pixels.mean()), "std": float(pixels.std())})


def make_features(name: str, modality: ImageModality) -> ImageFeatures:
    """Make features that read every format."""
    return modality.features(name, Limits(image_formats=FORMATS))


def measure(
    decode: Callable[[bytes], NDArray[Any] | None], cells: pl.Series, folder: Path
) -> Iterator[Values]:
    """Measure the pixels of images, decoded by all cores. One that cannot be read is left out."""

    def measure_one(cell: str | bytes) -> Values | None:
        data = read_bytes(cell, folder)
        try:
            pixels = decode(data) if isinstance(data, bytes) else None
        except InvalidInput:
            return None
        if pixels is None or not np.isfinite(pixels).all():
            return None
        flat = pixels.ravel()
        sample = flat[:: math.ceil(len(flat) / SAMPLE_PIXELS)].astype(np.float64)
        return Values(float(flat.min()), float(flat.max()), sample)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(0, len(cells), CHUNK):
            yield from filter(None, pool.map(measure_one, cells[start : start + CHUNK]))
