"""Decoded images are kept on disk: the next run over the same images decodes none."""

import hashlib
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

from tailfuse.files.cache import cached, make_key

MIN_CACHED_BYTES = 2**24  # of image files; fewer are decoded in a second


class Source(NamedTuple):
    """The identity of an image."""

    name: str  # its path, or the sha256 of its bytes
    modified_ns: int
    size: int


def load_images(
    modality: ImageModality,
    cells: pl.Series,
    folder: Path,
    decode: Callable[[], Iterable[NDArray[np.uint8] | None]],
) -> tuple[NDArray[np.uint8], NDArray[np.int64]] | None:
    """Return a column's images, (n, channels, height, width), and the position of each cell's, -1 if absent.

    They come from the cache, or else from `decode`, which yields the image of every cell. None if they are
    too few to be cached, or one of them cannot be read: decoding will say which. Images of which some may be
    unreadable are not cached either, since only decoding tells how many there are.
    """
    if modality.unreadable == "missing":
        return None
    try:
        sources = [identify_source(cell, folder) for cell in cells]
    except (OSError, ValueError, TypeError):
        return None
    if sum(source.size for source in sources if source) < MIN_CACHED_BYTES:
        return None
    present = np.array([source is not None for source in sources])
    shape = (int(present.sum()), modality.channels, modality.height, modality.width)
    name = "images-" + make_key(shape, modality.range, modality.deep, sources, identify_decoder())
    images = cached(name, shape, np.uint8, lambda: (each[None] for each in decode() if each is not None))
    return images, np.where(present, np.cumsum(present) - 1, -1)


def identify_source(cell: str | bytes | None, folder: Path) -> Source | None:
    """Return None where there is no image. Raises OSError, ValueError or TypeError if it cannot be read."""
    if cell is None or cell == "":
        return None
    if not cell:
        raise ValueError("an empty file")
    if isinstance(cell, bytes):
        return Source(hashlib.sha256(cell).hexdigest(), 0, len(cell))
    path = os.path.abspath(folder / cell)
    status = os.stat(path)
    if not status.st_size:
        raise ValueError("an empty file")
    return Source(path, status.st_mtime_ns, status.st_size)


def identify_decoder() -> tuple[str, ...]:
    """Return what identifies the decoder: the versions of its libraries, and its source."""
    sources = [file.read_text() for file in sorted(Path(features.__file__).parent.glob("*.py"))]
    return PIL.__version__, simplejpeg.__version__, *sources
