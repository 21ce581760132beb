"""The image kind in training: fitted, read from a table, encoded, augmented, corrupted and described."""

import io
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from PIL import Image
from tailfuse_service.modalities import ImageModality

from tailfuse.errors import TableError
from tailfuse.files.reading import DEFAULT_READING, Reading
from tailfuse.files.table import Rows, check_some_value, place, type_name
from tailfuse.modalities.files import read_bytes
from tailfuse.modalities.image.cache import load_images
from tailfuse.modalities.image.spec import ImageSpec
from tailfuse.modalities.kind import Arrays, Decode, Kind
from tailfuse.spelling import did_you_mean

if TYPE_CHECKING:
    from torch import Generator, Tensor, nn

SAMPLE = 200  # images whose headers say whether all are grey
GREY_MODES = ("1", "L", "LA", "I", "I;16", "I;16B", "I;16L", "I;16N", "F")
TIMM = "timm/"


class ImageKind(Kind[ImageSpec, ImageModality]):
    """Image files, or their paths, in one column."""

    name = "image"
    spec = ImageSpec
    encoder_names = ("small_cnn", "efficientnet_lite0", f"{TIMM}<name>")
    reads_files = True
    decodes_in_threads = True
    precisions = ("float16", "int8")
    final_scores_corrupted = True
    card_note = "`<base64>` stands for the bytes of an image file."

    def fit(
        self,
        name: str,
        spec: ImageSpec,
        table: pl.DataFrame,
        rows: Rows,
        folder: Path,
        reading: Reading = DEFAULT_READING,
    ) -> ImageModality:
        """Grey if a sample of the images is, by their headers."""
        column = spec.column
        if column not in table.columns:
            hint = did_you_mean(column, table.columns)
            raise TableError(f"modalities.{name}.column: the table has no column '{column}'{hint}")
        check_some_value(table[column][rows], name)
        present = rows[table[column][rows].is_not_null().to_numpy()]
        sample = present[np.linspace(0, len(present) - 1, min(len(present), SAMPLE)).astype(int)]
        grey = all(is_grey(data) for data in read_images(table, name, column, folder, sample) if data)
        height, width = spec.size
        return ImageModality(column=column, height=height, width=width, channels=1 if grey else 3)

    def raw_values(
        self, name: str, modality: ImageModality, table: pl.DataFrame, rows: Rows, folder: Path
    ) -> Iterator[bytes | None]:
        return read_images(table, name, modality.column, folder, rows)

    def load_cached(
        self, modality: ImageModality, table: pl.DataFrame, rows: Rows, folder: Path, decode: Decode
    ) -> Arrays | None:
        return load_images(modality, table[modality.column][rows], folder, decode)

    def check_encoder(self, name: str) -> None:
        if not name.startswith(TIMM):
            super().check_encoder(name)

    def build_encoder(
        self, spec: ImageSpec, modality: ImageModality, *, width: int, dropout: float, input_dropout: float
    ) -> "nn.Module":
        if spec.encoder == "small_cnn":
            from tailfuse.modalities.image.small_cnn import SmallCnn

            return SmallCnn(modality, width=width, dropout=dropout, input_dropout=input_dropout)
        from tailfuse.modalities.image.pretrained import efficientnet_lite0, timm_encoder

        build = efficientnet_lite0
        if spec.encoder.startswith(TIMM):
            build = partial(timm_encoder, spec.encoder.removeprefix(TIMM))
        return build(modality, width=width, dropout=dropout, trained=spec.trained, flips=spec.flips)

    def augmentation(self, spec: ImageSpec) -> "Callable[[Tensor], Tensor] | None":
        from tailfuse.modalities.image.augmentation import augment

        return augment if spec.augment else None

    def corrupt(self, rows: "Tensor", modality: ImageModality, generator: "Generator") -> "Tensor":
        from tailfuse.modalities.image.corruption import corrupt_images

        return corrupt_images(rows, generator)

    def describe(self, modality: ImageModality) -> str:
        colours = "grey" if modality.channels == 1 else "colour"
        return f"{colours} image, {modality.height} × {modality.width} (height × width)"

    def card_example(self, modality: ImageModality) -> str:
        return "<base64>"


def read_images(
    table: pl.DataFrame, name: str, column: str, folder: Path, rows: Rows
) -> Iterator[bytes | None]:
    """Yield the bytes of each image, each read when it is needed. Raises TableError."""
    where = place(name, column)
    series = table[column]
    if series.dtype not in (pl.String, pl.Binary, pl.Null):
        raise TableError(f"{where}: holds {type_name(series)}; paths or the bytes of images are taken")
    for row, value in zip(rows, series[rows], strict=True):
        yield read_bytes(value, folder, f"row {row + 1}: {where}")


def is_grey(data: bytes) -> bool:
    """Whether an image's header says so. One that cannot be read does not count: decoding names its row."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            return image.mode in GREY_MODES
    except Exception:  # decoders raise exceptions of any type
        return True
