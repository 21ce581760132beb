"""A fifth kind, the side of training: a place in two columns, its latitude and longitude in degrees."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import polars as pl
import torch
from tailfuse.files.cells import type_cells
from tailfuse.files.reading import DEFAULT_READING, Reading
from tailfuse.files.table import Rows, match_columns, place
from tailfuse.modalities import Kind, ModalitySpec
from tailfuse.modalities.spec import Name
from torch import Generator, Tensor, nn

from tests.support.geo_service import GeoModality


class GeoSpec(ModalitySpec):
    """`latitude` and `longitude` are columns, in degrees."""

    kind: Literal["geo"]
    latitude: Name
    longitude: Name
    encoder: Name = "dense"


class Dense(nn.Module):
    """One hidden layer on a unit vector."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(3, width), nn.ReLU(), nn.Dropout(dropout))

    def extract_features(self, rows: Tensor) -> Tensor:
        return rows

    def forward(self, rows: Tensor) -> Tensor:
        embedding: Tensor = self.layers(self.extract_features(rows))
        return embedding


class GeoKind(Kind[GeoSpec, GeoModality]):
    """Places."""

    name = "geo"
    spec = GeoSpec
    encoder_names = ("dense",)
    card_note = "`lat` and `lon` are in degrees."

    def fit(
        self,
        name: str,
        spec: GeoSpec,
        table: pl.DataFrame,
        rows: Rows,
        folder: Path,
        reading: Reading = DEFAULT_READING,
    ) -> GeoModality:
        match_columns(table, [spec.latitude], f"modalities.{name}.latitude")
        match_columns(table, [spec.longitude], f"modalities.{name}.longitude")
        return GeoModality(latitude=spec.latitude, longitude=spec.longitude)

    def raw_values(
        self, name: str, modality: GeoModality, table: pl.DataFrame, rows: Rows, folder: Path
    ) -> Iterator[Any]:
        columns = [
            type_cells(table[each], "number", place(name, each), rows) for each in modality.column_names
        ]
        for lat, lon in zip(*columns, strict=True):
            yield {"lat": lat, "lon": lon}

    def build_encoder(
        self, spec: GeoSpec, modality: GeoModality, *, width: int, dropout: float, input_dropout: float
    ) -> nn.Module:
        return Dense(width, dropout)

    def corrupt(self, rows: Tensor, modality: GeoModality, generator: Generator) -> Tensor:
        """Anywhere on the globe."""
        return nn.functional.normalize(torch.randn(rows.shape, generator=generator))

    def describe(self, modality: GeoModality) -> str:
        return "a place on the globe"
