"""A modality that has gone bad at test time, the same way for every method."""

import io
import zlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter
from tailfuse.data.part import Part

Array = NDArray[Any]  # the rows of one modality: float32 (n, ...), or uint8 (n, channels, height, width)

NOISE_ADDED = "noise_added"
LEVELS = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0)  # standard deviations of the noise that is added
MIDDLE, SPREAD = 127.5, 64.0  # what scaling takes a pixel to be around, and by how much


class Damaged(NamedTuple):
    """A part one of whose modalities is damaged; `level` is that of added noise."""

    modality: str
    condition: str
    level: float | None
    part: Part


def damaged_parts(part: Part, name: str, seed: int) -> Iterator[Damaged]:
    """The part of the set called `name` with each modality damaged in every way there is for it."""
    for at, modality in enumerate(part.modalities):
        rows = part.inputs[modality][part.position[modality][part.position[modality] >= 0]]
        kinds = KINDS | (PICTURE_KINDS if rows.dtype == np.uint8 else {})
        for condition, damage in kinds.items():
            random = np.random.default_rng(
                [zlib.crc32(name.encode()), seed, at, zlib.crc32(condition.encode())]
            )
            yield Damaged(modality, condition, None, replaced(part, modality, damage(rows, random)))
        for level in LEVELS:
            random = np.random.default_rng(
                [zlib.crc32(name.encode()), seed, at, zlib.crc32(NOISE_ADDED.encode())]
            )
            noisy = with_noise(rows, level, random)  # the same noise at every level
            yield Damaged(modality, NOISE_ADDED, level, replaced(part, modality, noisy))


def replaced(part: Part, modality: str, rows: Array) -> Part:
    """The part with other values where the modality is present."""
    present = part.position[modality] >= 0
    position = np.where(present, np.cumsum(present) - 1, -1)
    return Part(part.inputs | {modality: rows}, part.position | {modality: position}, part.labels)


def noise(rows: Array, scale: float, random: np.random.Generator) -> Array:
    """N(0, scale), in place of what is there after scaling."""
    return scaled_back(scale * random.standard_normal(rows.shape), rows.dtype)


def with_noise(rows: Array, scale: float, random: np.random.Generator) -> Array:
    """N(0, scale), on top of what is there after scaling."""
    values = (rows - MIDDLE) / SPREAD if rows.dtype == np.uint8 else rows
    return scaled_back(values + scale * random.standard_normal(rows.shape), rows.dtype)


def scaled_back(values: NDArray[np.floating], dtype: np.dtype[Any]) -> Array:
    """Scaled values as a modality's rows: pictures hold pixels."""
    if dtype == np.uint8:
        values = (MIDDLE + SPREAD * values).clip(0, 255).round()
    return values.astype(dtype)


def other_row(rows: Array, random: np.random.Generator) -> Array:
    """Each row gets another one's values."""
    order = random.permutation(len(rows))
    shuffled = np.empty_like(rows)
    shuffled[order] = rows[np.roll(order, 1)]
    return shuffled


def blurred(pixels: NDArray[np.uint8], random: np.random.Generator) -> NDArray[np.uint8]:
    """A radius of a tenth of the height."""
    radius = ImageFilter.GaussianBlur(pixels.shape[2] / 10)
    return by_picture(pixels, lambda picture: picture.filter(radius))


def jpeg(pixels: NDArray[np.uint8], random: np.random.Generator) -> NDArray[np.uint8]:
    """Quality 2 of 100: blocks of 8 by 8 with little in them."""

    def compressed(picture: Image.Image) -> Image.Image:
        file = io.BytesIO()
        picture.save(file, "JPEG", quality=2)
        return Image.open(file)

    return by_picture(pixels, compressed)


def by_picture(pixels: NDArray[np.uint8], change: Callable[[Image.Image], Image.Image]) -> NDArray[np.uint8]:
    """Change each picture of (n, channels, height, width)."""
    grey = pixels.shape[1] == 1
    changed = [
        np.atleast_3d(np.asarray(change(Image.fromarray(each[..., 0] if grey else each)))).transpose(2, 0, 1)
        for each in np.ascontiguousarray(pixels.transpose(0, 2, 3, 1))
    ]
    return np.stack(changed)


KINDS: dict[str, Callable[[Array, np.random.Generator], Array]] = {
    "noise_1": lambda rows, random: noise(rows, 1.0, random),
    "noise_3": lambda rows, random: noise(rows, 3.0, random),
    "other_row": other_row,
    "blank": lambda rows, random: np.zeros_like(rows),
}
PICTURE_KINDS = {"blur": blurred, "jpeg": jpeg}
