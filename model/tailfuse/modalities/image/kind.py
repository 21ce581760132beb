"""The image kind in training: fitted, read from a table, encoded, augmented, corrupted and described."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from tailfuse_service.modalities import ImageModality

from tailfuse.errors import TableError
from tailfuse.files.cells import Unreadable
from tailfuse.files.reading import DEFAULT_READING, Reading
from tailfuse.files.table import Rows, check_some_value, place, type_name
from tailfuse.modalities.example_values import shrink_image
from tailfuse.modalities.files import UnreadableFile, read_bytes
from tailfuse.modalities.image.cache import load_images
from tailfuse.modalities.image.fit import fit_image
from tailfuse.modalities.image.spec import TIMM, WEIGHT_FILES, ImageSpec, is_weights_file
from tailfuse.modalities.kind import Arrays, Decode, Kind
from tailfuse.modalities.preview import Preview, encode_png, shorten_cell
from tailfuse.modalities.spec import digest_weights
from tailfuse.spelling import did_you_mean

if TYPE_CHECKING:
    from torch import Generator, Tensor, nn

LINEAR_CELLS = 16


class ImageKind(Kind[ImageSpec, ImageModality]):
    """Image files, or their paths, in one column."""

    name = "image"
    spec = ImageSpec
    encoder_names = ("small_cnn", "efficientnet_lite0", "efficientnet_lite2", f"{TIMM}<name>", WEIGHT_FILES)
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
        """Grey if all images are, by their headers."""
        column = spec.column
        if column not in table.columns:
            hint = did_you_mean(column, table.columns)
            raise TableError(f"modalities.{name}.column: the table has no column '{column}'{hint}")
        check_some_value(table[column][rows], name)
        present = rows[table[column][rows].is_not_null().to_numpy()]
        height, width = spec.size
        weights_sha256 = None
        if spec.weights_path is not None:
            weights_sha256 = digest_weights(f"modalities.{name}.encoder", spec.weights_path)
        modality = ImageModality(
            column=column,
            height=height,
            width=width,
            channels=3,
            range=spec.range,
            unreadable=spec.unreadable,
            weights_sha256=weights_sha256,
        )
        check_holds_files(table, name, column)
        return fit_image(name, modality, table[column][present], folder)

    def raw_values(
        self, name: str, modality: ImageModality, table: pl.DataFrame, rows: Rows, folder: Path
    ) -> Iterator[bytes | UnreadableFile | None]:
        return read_images(table, name, modality.column, folder, rows)

    def example_value(self, modality: ImageModality, raw: bytes) -> str | None:
        return shrink_image(raw, modality)

    def load_cached(
        self, modality: ImageModality, table: pl.DataFrame, rows: Rows, folder: Path, decode: Decode
    ) -> Arrays | None:
        return load_images(modality, table[modality.column][rows], folder, decode)

    def on_unreadable(self, modality: ImageModality) -> Unreadable:
        return modality.unreadable

    def check_encoder(self, name: str) -> None:
        if is_weights_file(name):
            digest_weights("encoder", Path(name))
        elif not name.startswith(TIMM):
            super().check_encoder(name)

    def build_encoder(
        self, spec: ImageSpec, modality: ImageModality, *, width: int, dropout: float, input_dropout: float
    ) -> "nn.Module":
        if spec.encoder == "small_cnn":
            from tailfuse.modalities.image.small_cnn import SmallCnn

            return SmallCnn(modality, width=width, dropout=dropout, input_dropout=input_dropout)
        from tailfuse.modalities.image import pretrained
        from tailfuse.modalities.image.backbone import EncoderSettings

        settings = EncoderSettings(width, dropout, spec.trained, spec.flips)
        if spec.architecture is not None:
            return pretrained.build_local_encoder(Path(spec.encoder), spec.architecture, modality, settings)
        if spec.encoder.startswith(TIMM):
            return pretrained.build_timm_encoder(spec.encoder.removeprefix(TIMM), modality, settings)
        return pretrained.build_lite_encoder(spec.encoder, modality, settings)

    def linear_columns(self, modality: ImageModality, rows: NDArray[Any]) -> NDArray[np.float64]:
        """Shrink each channel (n, channels, height, width) to means of at most LINEAR_CELLS a side."""
        values = rows
        for axis in (2, 3):
            size = rows.shape[axis]
            edges = np.linspace(0, size, min(size, LINEAR_CELLS), endpoint=False).astype(np.int64)
            lengths = np.diff(np.append(edges, size)).reshape((-1, 1) if axis == 2 else (-1,))
            values = np.add.reduceat(values, edges, axis=axis, dtype=np.float64) / lengths
        return values.reshape(len(rows), -1)

    def augmentation(self, spec: ImageSpec) -> "Callable[[Tensor], Tensor] | None":
        from tailfuse.modalities.image.augmentation import augment

        return augment if spec.augment else None

    def corrupt(self, rows: "Tensor", modality: ImageModality, generator: "Generator") -> "Tensor":
        from tailfuse.modalities.image.corruption import corrupt_images

        return corrupt_images(rows, generator)

    def add_noise(
        self, modality: ImageModality, rows: NDArray[Any], strength: float, random: np.random.Generator
    ) -> NDArray[np.uint8]:
        noise = random.normal(127.5, 64.0, rows.shape)
        return ((1 - strength) * rows + strength * noise).round().clip(0, 255).astype(np.uint8)

    def describe(self, modality: ImageModality) -> str:
        colours = "grey" if modality.channels == 1 else "colour"
        return f"{colours} image, {modality.height} × {modality.width} (height × width)"

    def preview(self, modality: ImageModality, cells: Mapping[str, Any], row: NDArray[Any]) -> Preview:
        """Show the image as the encoder receives it, and the path of its file."""
        path = cells.get(modality.column)
        return Preview(shorten_cell(path) if isinstance(path, str) else "", encode_png(row))

    def card_example(self, modality: ImageModality) -> str:
        return "<base64>"


def read_images(
    table: pl.DataFrame, name: str, column: str, folder: Path, rows: Rows
) -> Iterator[bytes | UnreadableFile | None]:
    """Yield the bytes of each image, each read when it is needed. Raises TableError."""
    check_holds_files(table, name, column)
    for value in table[column][rows]:
        yield read_bytes(value, folder)


def check_holds_files(table: pl.DataFrame, name: str, column: str) -> None:
    """Raises TableError if a column holds anything but paths or bytes."""
    if table[column].dtype not in (pl.String, pl.Binary, pl.Null):
        held = type_name(table[column])
        raise TableError(f"{place(name, column)}: holds {held}; paths or the bytes of images are taken")
