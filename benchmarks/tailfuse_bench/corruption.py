"""Corruptions of one modality at test time, the same for every method."""

import io
import zlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter
from tailfuse.data.split_arrays import SplitArrays

Array = NDArray[Any]  # the rows of one modality: float32 (n, ...), or uint8 (n, channels, height, width)

NOISE_ADDED = "noise_added"
LEVELS = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0)  # standard deviations of the added noise
MIDDLE, SPREAD = 127.5, 64.0  # mean and standard deviation that scaling assumes of a pixel


class CorruptedRows(NamedTuple):
    """Rows in which one modality is corrupted; `level` is the standard deviation of added noise."""

    modality: str
    condition: str
    level: float | None
    part: SplitArrays


def corrupt_modalities(part: SplitArrays, name: str, seed: int) -> Iterator[CorruptedRows]:
    """Yield the rows with each modality corrupted in every way that its kind allows.

    The name of the dataset and the seed determine the random numbers.
    """
    for index, modality in enumerate(part.modalities):
        rows = part.inputs[modality][part.position[modality][part.position[modality] >= 0]]
        corruptions = CORRUPTIONS | (IMAGE_CORRUPTIONS if rows.dtype == np.uint8 else {})
        levels: tuple[float, ...] = LEVELS
        if rows.dtype == object:  # n-grams of texts, which are no numbers to add noise to
            corruptions, levels = {"other_row": shuffle_rows}, ()
        for condition, corrupt in corruptions.items():
            random = np.random.default_rng(
                [zlib.crc32(name.encode()), seed, index, zlib.crc32(condition.encode())]
            )
            yield CorruptedRows(
                modality, condition, None, replace_rows(part, modality, corrupt(rows, random))
            )
        for level in levels:
            random = np.random.default_rng(
                [zlib.crc32(name.encode()), seed, index, zlib.crc32(NOISE_ADDED.encode())]
            )
            noisy = add_noise(rows, level, random)  # the same noise at every level
            yield CorruptedRows(modality, NOISE_ADDED, level, replace_rows(part, modality, noisy))


def replace_rows(part: SplitArrays, modality: str, rows: Array) -> SplitArrays:
    """Return a copy with other values where the modality is present."""
    present = part.position[modality] >= 0
    position = np.where(present, np.cumsum(present) - 1, -1)
    return SplitArrays(part.inputs | {modality: rows}, part.position | {modality: position}, part.labels)


def make_noise(rows: Array, scale: float, random: np.random.Generator) -> Array:
    """Replace the scaled values with noise from N(0, scale)."""
    return unscale(scale * random.standard_normal(rows.shape), rows.dtype)


def add_noise(rows: Array, scale: float, random: np.random.Generator) -> Array:
    """Add noise from N(0, scale) to the scaled values."""
    values = (rows - MIDDLE) / SPREAD if rows.dtype == np.uint8 else rows
    return unscale(values + scale * random.standard_normal(rows.shape), rows.dtype)


def unscale(values: NDArray[np.floating], dtype: np.dtype[Any]) -> Array:
    """Turn scaled values back into rows: images hold pixels."""
    if dtype == np.uint8:
        values = (MIDDLE + SPREAD * values).clip(0, 255).round()
    return values.astype(dtype)


def shuffle_rows(rows: Array, random: np.random.Generator) -> Array:
    """Give each row the values of another row."""
    order = random.permutation(len(rows))
    shuffled = np.empty_like(rows)
    shuffled[order] = rows[np.roll(order, 1)]
    return shuffled


def blur_images(pixels: NDArray[np.uint8], random: np.random.Generator) -> NDArray[np.uint8]:
    """Blur with a radius of a tenth of the height."""
    radius = ImageFilter.GaussianBlur(pixels.shape[2] / 10)
    return change_images(pixels, lambda image: image.filter(radius))


def compress_as_jpeg(pixels: NDArray[np.uint8], random: np.random.Generator) -> NDArray[np.uint8]:
    """Compress with quality 2 of 100, which leaves blocks of 8 by 8 pixels with little detail."""

    def compress(image: Image.Image) -> Image.Image:
        file = io.BytesIO()
        image.save(file, "JPEG", quality=2)
        return Image.open(file)

    return change_images(pixels, compress)


def change_images(
    pixels: NDArray[np.uint8], change: Callable[[Image.Image], Image.Image]
) -> NDArray[np.uint8]:
    """Apply a change to each image of (n, channels, height, width)."""
    grey = pixels.shape[1] == 1
    changed = [
        np.atleast_3d(np.asarray(change(Image.fromarray(each[..., 0] if grey else each)))).transpose(2, 0, 1)
        for each in np.ascontiguousarray(pixels.transpose(0, 2, 3, 1))
    ]
    return np.stack(changed)


CORRUPTIONS: dict[str, Callable[[Array, np.random.Generator], Array]] = {
    "noise_1": lambda rows, random: make_noise(rows, 1.0, random),
    "noise_3": lambda rows, random: make_noise(rows, 3.0, random),
    "other_row": shuffle_rows,
    "blank": lambda rows, random: np.zeros_like(rows),
}
IMAGE_CORRUPTIONS = {"blur": blur_images, "jpeg": compress_as_jpeg}
