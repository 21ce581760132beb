"""The keys of a spec for rows in memory: what the user gives, and what is inferred of the rest."""

import logging
from pathlib import Path
from typing import Any

import polars as pl
import yaml

from tailfuse.api.frames import Rows
from tailfuse.data.infer_schema import InferredSchema, infer_schema
from tailfuse.data.scaffold import describe_nothing_left, make_modality_lines
from tailfuse.errors import TableError
from tailfuse.files.infer import Decimal
from tailfuse.spec.document import TextLoader

MODALITY = "tabular"  # of an array

log = logging.getLogger("tailfuse")


def infer_modalities(
    table: pl.DataFrame, folder: Path, label: str, decimal: Decimal | None
) -> tuple[dict[str, Any], InferredSchema]:
    """Infer the modalities of a table as `tailfuse init` does; warn of the columns that are left out.

    Raises TableError.
    """
    schema = infer_schema(table, folder, label, decimal)
    lines = make_modality_lines(schema, table.columns)
    if not lines:
        raise TableError(describe_nothing_left(schema))
    for column, why in schema.left_out.items():
        log.warning("modalities: column '%s' is left out: %s", column, why)
    modalities: dict[str, Any] = yaml.load("\n".join(lines), TextLoader)
    return modalities, schema


def make_array_modality(columns: list[str]) -> dict[str, Any]:
    """Return the one modality of an array: all of its columns."""
    return {MODALITY: {"kind": "tabular", "columns": columns}}


def add_column(rows: Rows, name: str, values: pl.Series) -> tuple[pl.DataFrame, str]:
    """Return the rows with one more column, and its name, which no other column has."""
    while name in rows.table.columns:
        name = f"{name}_"
    return rows.table.with_columns(values.alias(name)), name
