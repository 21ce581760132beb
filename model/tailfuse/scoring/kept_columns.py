"""The columns of a table that are copied to its answers."""

import logging
from collections.abc import Sequence

import polars as pl

from tailfuse.errors import UserError
from tailfuse.files.table import match_columns, type_name

EVERY_COLUMN = "all"  # of --keep

log = logging.getLogger("tailfuse")


def name_kept_columns(table: pl.DataFrame, keep: Sequence[str], answers: Sequence[str]) -> dict[str, str]:
    """Return the columns to copy, and their names beside the columns `answers`.

    `keep` are names or patterns, separated by commas, or "all". A column with the name of an answer is
    called `table.<name>`, and a warning says so. Raises TableError.
    """
    if EVERY_COLUMN in keep:
        kept = table.columns
    else:
        patterns = [each for text in keep for each in split_names(text, table.columns)]
        kept = match_columns(table, patterns, "--keep")
    names: dict[str, str] = {}
    taken = {*answers, *kept}
    for column in kept:
        name = column
        while name in answers or (name != column and name in taken):
            name = f"table.{name}"
        if name != column:
            log.warning("--keep: column '%s' of the table is written as '%s'", column, name)
            taken.add(name)
        names[column] = name
    return names


def split_names(text: str, columns: Sequence[str]) -> list[str]:
    """Split at commas; a column whose own name holds a comma may be given alone."""
    return [text] if text in columns else [name.strip() for name in text.split(",")]


def check_storable(table: pl.DataFrame, columns: Sequence[str], ending: str) -> None:
    """Raises UserError if a file of this ending cannot hold a column."""
    for column in columns:
        dtype = table[column].dtype
        is_bytes = dtype in (pl.Binary, pl.Object)
        if ending != ".parquet" and (is_bytes or (ending == ".csv" and dtype.is_nested())):
            raise UserError(
                f"--keep: column '{column}' holds {type_name(table[column])}, which {ending} cannot hold; "
                "write .parquet, or name the columns to keep"
            )
