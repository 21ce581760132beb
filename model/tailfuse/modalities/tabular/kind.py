"""The tabular kind in training: fitted, read from a table, encoded, corrupted and described."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field
from tailfuse_service.modalities import TabularModality
from tailfuse_service.modalities.tabular import CategoryColumn, NumberColumn, example_cell
from tailfuse_service.modalities.tabular.spelling import PLAIN

from tailfuse.files.cells import type_cells
from tailfuse.files.reading import DEFAULT_READING, Reading
from tailfuse.files.table import Rows, match_columns, place
from tailfuse.modalities.kind import Arrays, Kind
from tailfuse.modalities.spec import Columns, ModalitySpec, Name
from tailfuse.modalities.tabular.arrays import make_rows
from tailfuse.modalities.tabular.choose_encoder import add_edges
from tailfuse.modalities.tabular.fit import fit_columns

if TYPE_CHECKING:
    from torch import Generator, Tensor, nn

CARD_COLUMNS = 3
PLURALS = {"number": "numbers", "boolean": "booleans", "category": "categories"}


class TabularSpec(ModalitySpec):
    """Numbers, booleans and categories."""

    kind: Literal["tabular"]
    columns: Columns
    """Names of columns, or patterns such as `rna_*`."""
    types: dict[str, Literal["number", "boolean", "category"]] = Field(default_factory=dict)
    """Type by column, in place of the inferred one."""
    unreadable: Literal["stop", "missing"] = "stop"
    """Whether a cell that its column cannot take stops the training or counts as missing."""
    encoder: Name = "auto"
    """`mlp`, `piecewise`, or `auto`, which chooses by the training rows."""


class TabularKind(Kind[TabularSpec, TabularModality]):
    """Numbers, booleans and categories, each in a column of its own.

    Its encoder keeps float32: the columns have different scales, int8 has one scale for all of them, and any
    of them may be a million, where float16 ends at 65,504.
    """

    name = "tabular"
    spec = TabularSpec
    encoder_names = ("auto", "mlp", "piecewise")

    def fit(
        self,
        name: str,
        spec: TabularSpec,
        table: pl.DataFrame,
        rows: Rows,
        folder: Path,
        reading: Reading = DEFAULT_READING,
    ) -> TabularModality:
        columns = match_columns(table, spec.columns, f"modalities.{name}.columns")
        return fit_columns(name, columns, spec.types, table, rows, reading, spec.unreadable)

    def fit_to_labels(
        self,
        spec: TabularSpec,
        modality: TabularModality,
        rows: NDArray[Any],
        labels: NDArray[np.int64],
        groups: NDArray[np.int64],
        seed: int,
    ) -> TabularModality:
        return add_edges(spec.encoder, modality, rows, labels, seed)

    def raw_values(
        self, name: str, modality: TabularModality, table: pl.DataFrame, rows: Rows, folder: Path
    ) -> Iterator[dict[str, Any]]:
        return pl.DataFrame(read_cells(name, modality, table, rows)).iter_rows(named=True)

    def read_arrays(
        self,
        name: str,
        modality: TabularModality,
        table: pl.DataFrame,
        rows: Rows,
        errors: dict[int, str] | None = None,
    ) -> Arrays:
        return make_rows(name, modality, read_cells(name, modality, table, rows, errors), rows, errors)

    def build_encoder(
        self,
        spec: TabularSpec,
        modality: TabularModality,
        *,
        width: int,
        dropout: float,
        input_dropout: float,
    ) -> "nn.Module":
        from tailfuse.modalities.tabular.encoder import Mlp

        return Mlp(modality, width=width, dropout=dropout, input_dropout=input_dropout)

    def corrupt(self, rows: "Tensor", modality: TabularModality, generator: "Generator") -> "Tensor":
        from tailfuse.modalities.tabular.corruption import corrupt_numbers

        return corrupt_numbers(rows, generator)

    def describe(self, modality: TabularModality) -> str:
        types = Counter(column.type for column in modality.columns)
        parts = [f"{count} {PLURALS[each] if count > 1 else each}" for each, count in types.items()]
        row = f"row of {' and '.join(parts)}" if len(parts) < 3 else f"row of {', '.join(parts)}"
        shared = [
            f"of {column.name} the most frequent {len(column.categories):,} are told apart"
            for column in modality.columns
            if isinstance(column, CategoryColumn) and column.buckets
        ]
        n_binned = sum(isinstance(column, NumberColumn) and bool(column.edges) for column in modality.columns)
        binned = [f"{n_binned} of them in bins"] if n_binned else []
        return "; ".join([row, *binned, *shared])

    def card_example(self, modality: TabularModality) -> dict[str, Any]:
        return {column.name: example_cell(column) for column in modality.columns[:CARD_COLUMNS]}


def read_cells(
    name: str,
    modality: TabularModality,
    table: pl.DataFrame,
    rows: Rows,
    errors: dict[int, str] | None = None,
) -> list[pl.Series]:
    """Return each column's cells at `rows`, typed as the modality was fitted. Raises TableError."""
    return [
        type_cells(
            table[column.name],
            column.type,
            place(name, column.name),
            rows,
            column.format if isinstance(column, NumberColumn) else PLAIN,
            modality.unreadable,
            errors,
        )
        for column in modality.columns
    ]
