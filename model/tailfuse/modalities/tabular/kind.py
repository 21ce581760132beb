"""The tabular kind in training: fitted, read from a table, encoded, corrupted and described."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import polars as pl
from pydantic import Field
from tailfuse_service.modalities import TabularModality
from tailfuse_service.modalities.tabular import CategoryColumn, example_cell

from tailfuse.files.table import Rows, match_columns, place, typed
from tailfuse.modalities.kind import Kind
from tailfuse.modalities.spec import Columns, ModalitySpec, Name
from tailfuse.modalities.tabular.fit import fit_columns

if TYPE_CHECKING:
    from torch import Generator, Tensor, nn

CARD_COLUMNS = 3
PLURALS = {"number": "numbers", "boolean": "booleans", "category": "categories"}


class TabularSpec(ModalitySpec):
    """Numbers, booleans, categories. `columns` are names or patterns; `types` overrules what is inferred."""

    kind: Literal["tabular"]
    columns: Columns
    types: dict[str, Literal["number", "boolean", "category"]] = Field(default_factory=dict)
    encoder: Name = "mlp"


class TabularKind(Kind[TabularSpec, TabularModality]):
    """Numbers, booleans and categories, each in a column of its own.

    Its encoder keeps float32: the columns have different scales, int8 has one scale for all of them, and any
    of them may be a million, where float16 ends at 65,504.
    """

    name = "tabular"
    spec = TabularSpec
    encoder_names = ("mlp",)

    def fit(
        self, name: str, spec: TabularSpec, table: pl.DataFrame, rows: Rows, folder: Path
    ) -> TabularModality:
        columns = match_columns(table, spec.columns, f"modalities.{name}.columns")
        return fit_columns(name, columns, spec.types, table, rows)

    def raw_values(
        self, name: str, modality: TabularModality, table: pl.DataFrame, rows: Rows, folder: Path
    ) -> Iterator[dict[str, Any]]:
        cells = [
            typed(table[column.name], column.type, place(name, column.name), rows)
            for column in modality.columns
        ]
        return pl.DataFrame(cells).iter_rows(named=True)

    def known_values(self, modality: TabularModality) -> dict[str, Sequence[str]]:
        return {
            column.name: column.categories
            for column in modality.columns
            if isinstance(column, CategoryColumn)
        }

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
        return f"row of {' and '.join(parts)}" if len(parts) < 3 else f"row of {', '.join(parts)}"

    def card_example(self, modality: TabularModality) -> dict[str, Any]:
        return {column.name: example_cell(column) for column in modality.columns[:CARD_COLUMNS]}
