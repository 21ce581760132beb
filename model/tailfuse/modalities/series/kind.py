"""The time-series kind in training: fitted, read from a table, encoded, corrupted and described."""

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import AliasChoices, Field
from tailfuse_service.modalities import SeriesModality
from tailfuse_service.modalities.series import with_noun

from tailfuse.files.cells import Unreadable
from tailfuse.files.reading import DEFAULT_READING, Reading
from tailfuse.files.table import Rows, match_columns
from tailfuse.modalities.kind import Kind
from tailfuse.modalities.preview import Preview, draw_curves, shorten_cell
from tailfuse.modalities.ragged import keep_apart
from tailfuse.modalities.series.choose_encoder import DEFAULT, ENCODERS, choose_encoder
from tailfuse.modalities.series.fit import fit_series
from tailfuse.modalities.series.raw import read_series
from tailfuse.modalities.spec import Columns, ModalitySpec, Name

if TYPE_CHECKING:
    from torch import Generator, Tensor, nn

AUTO = "auto"
CARD_STEPS = 3


class SeriesSpec(ModalitySpec):
    """Channels over time."""

    kind: Literal["series"]
    columns: Columns = Field(validation_alias=AliasChoices("columns", "column"))
    """Column of whole time series, as numbers, paths or bytes; or several columns, a channel each. `column`
    means the same."""
    length: int = Field(default=256, ge=1, le=2**20)
    """Longer time series are averaged down to that many steps."""
    unreadable: Unreadable = "stop"
    """Whether files that are empty or not there stop the training or count as missing."""
    encoder: Name = AUTO
    """`conv`, `logmel`, `fixed`, or `auto`, which chooses by the training rows."""


class SeriesKind(Kind[SeriesSpec, SeriesModality]):
    """Lists of numbers, or the paths or bytes of files, in one column; or a channel in each of several."""

    name = "series"
    spec = SeriesSpec
    encoder_names = (AUTO, *ENCODERS)
    reads_files = True
    # Any step of a series may be a million, and float16 ends at 65,504.
    precisions = ("int8",)
    reduced_parts = ("convolutions.", "layers.")  # not a fixed spectrum: a small power has a logarithm, too

    def fit(
        self,
        name: str,
        spec: SeriesSpec,
        table: pl.DataFrame,
        rows: Rows,
        folder: Path,
        reading: Reading = DEFAULT_READING,
    ) -> SeriesModality:
        columns = match_columns(table, spec.columns, f"modalities.{name}.columns")
        modality = fit_series(name, columns, spec.length, table, rows, folder, spec.unreadable)
        return modality.model_copy(update={"encoder": DEFAULT if spec.encoder == AUTO else spec.encoder})

    def fit_to_labels(
        self,
        spec: SeriesSpec,
        modality: SeriesModality,
        rows: NDArray[Any],
        labels: NDArray[np.int64],
        groups: NDArray[np.int64],
        seed: int,
    ) -> SeriesModality:
        if spec.encoder != AUTO:
            return modality
        return choose_encoder(modality, partial(self.build_encoder, spec), rows, labels, groups, seed)

    def raw_values(
        self, name: str, modality: SeriesModality, table: pl.DataFrame, rows: Rows, folder: Path
    ) -> Iterator[Any]:
        return read_series(table, name, modality.columns, folder, rows)

    def on_unreadable(self, modality: SeriesModality) -> Unreadable:
        return modality.unreadable

    def build_encoder(
        self, spec: SeriesSpec, modality: SeriesModality, *, width: int, dropout: float, input_dropout: float
    ) -> "nn.Module":
        from tailfuse.modalities.series.encoder import Conv
        from tailfuse.modalities.series.fixed import FixedSeries
        from tailfuse.modalities.series.logmel import LogMel

        assert modality.encoder is not None
        if modality.encoder == "fixed":
            return FixedSeries(modality, width=width, dropout=dropout)
        front = LogMel(modality) if modality.encoder == "logmel" else None
        return Conv(modality, width=width, dropout=dropout, input_dropout=input_dropout, front=front)

    def corrupt(self, rows: "Tensor", modality: SeriesModality, generator: "Generator") -> "Tensor":
        from tailfuse.modalities.series.corruption import corrupt_series

        return corrupt_series(rows, generator)

    def add_noise(
        self, modality: SeriesModality, rows: NDArray[Any], strength: float, random: np.random.Generator
    ) -> NDArray[Any]:
        noisy = []
        for row in rows:
            copy = row.copy()
            mask = row[:, -1:]  # padding stays padding
            noise = random.standard_normal(row[:, :-1].shape) * mask
            copy[:, :-1] = (1 - strength) * row[:, :-1] + strength * noise
            noisy.append(copy)
        return keep_apart(noisy)

    def describe(self, modality: SeriesModality) -> str:
        channels = with_noun(len(modality.channels), "channel")
        described = f"series of {channels}, at most {modality.length:,} steps, encoder {modality.encoder}"
        losses = ", ".join(f"{name} {loss:.3f}" for name, loss in (modality.trial_losses or {}).items())
        return f"{described}, chosen by the loss on left-out rows: {losses}" if losses else described

    def preview(self, modality: SeriesModality, cells: Mapping[str, Any], row: NDArray[Any]) -> Preview:
        """Show the first channels as the encoder receives them, and the path of their file."""
        steps = row[row[:, -1] > 0, :-1]
        paths = [shorten_cell(cell) for cell in cells.values() if isinstance(cell, str)][:1]
        text = " · ".join([*paths, with_noun(len(steps), "step")])
        return Preview(text, curves=draw_curves(steps) if len(steps) else ())

    def card_example(self, modality: SeriesModality) -> list[list[float]]:
        return modality.example()[:CARD_STEPS]
