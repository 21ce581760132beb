"""Decoded pictures, kept on disk: the next run over the same pictures decodes none."""

import hashlib
import inspect
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import PIL
import polars as pl
import simplejpeg
from numpy.typing import NDArray
from tailfuse_service.modalities import ImageModality
from tailfuse_service.modalities.image import features

from tailfuse.data.cache import cached, key_of

WORTH_KEEPING = 2**24  # bytes of pictures as they come; fewer are decoded in a second


class Source(NamedTuple):
    """What tells a picture from any other."""

    name: str  # its path, or the sha256 of its bytes
    modified_ns: int
    size: int


def kept_pictures(
    modality: ImageModality,
    cells: pl.Series,
    folder: Path,
    decode: Callable[[], Iterable[NDArray[np.uint8] | None]],
) -> tuple[NDArray[np.uint8], NDArray[np.int64]] | None:
    """A column's pictures, (n, channels, height, width), and which of them each cell's is; -1: it has none.

    They come from the cache, or from `decode`, which gives what every cell has. None if they are too few
    to be worth a file, or one of them is not to be had: decoding will say which.
    """
    try:
        sources = [source_of(cell, folder) for cell in cells]
    except (OSError, ValueError, TypeError):
        return None
    if sum(source.size for source in sources if source) < WORTH_KEEPING:
        return None
    present = np.array([source is not None for source in sources])
    shape = (int(present.sum()), modality.channels, modality.height, modality.width)
    name = "pictures-" + key_of(shape, sources, decoder())
    pictures = cached(name, shape, np.uint8, lambda: (each[None] for each in decode() if each is not None))
    return pictures, np.where(present, np.cumsum(present) - 1, -1)


def source_of(cell: str | bytes | None, folder: Path) -> Source | None:
    """None where there is no picture. Raises OSError, ValueError or TypeError if it is not to be had."""
    if not cell:
        return None
    if isinstance(cell, bytes):
        return Source(hashlib.sha256(cell).hexdigest(), 0, len(cell))
    path = os.path.abspath(folder / cell)
    status = os.stat(path)
    return Source(path, status.st_mtime_ns, status.st_size) if status.st_size else None


def decoder() -> tuple[str, ...]:
    """What decodes, down to its own code."""
    return PIL.__version__, simplejpeg.__version__, inspect.getsource(features)
