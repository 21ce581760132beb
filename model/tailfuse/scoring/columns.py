"""The columns of a table that is predicted: those of the model, and those that are copied to the answers."""

import logging
from collections.abc import Mapping, Sequence

import polars as pl
from tailfuse_service.modalities import Modality

from tailfuse.errors import TableError, UserError
from tailfuse.files.table import match_columns, type_name
from tailfuse.spelling import did_you_mean

EVERY_COLUMN = "all"  # of --keep
MAX_NAMED_COLUMNS = 5  # in a warning

log = logging.getLogger("tailfuse")


def find_missing_columns(table: pl.DataFrame, modalities: Mapping[str, Modality]) -> list[str]:
    """Return the model's columns that a table lacks, and warn of them once: they count as missing cells.

    Raises TableError if the table has no column of the model.
    """
    wanted = list(dict.fromkeys(name for each in modalities.values() for name in each.column_names))
    missing = [name for name in wanted if name not in table.columns]
    if len(missing) == len(wanted):
        raise TableError(
            f"no column of this model; it reads {shorten(wanted)}{did_you_mean(wanted[0], table.columns)}"
        )
    for name, modality in modalities.items():
        lacking = [column for column in modality.column_names if column in missing]
        if lacking:
            whole = len(lacking) == len(modality.column_names)
            effect = "it is absent in every row" if whole else "its cells count as missing"
            log.warning(
                "modality '%s': the table has no column %s; %s%s",
                name, shorten(lacking), effect, did_you_mean(lacking[0], table.columns),
            )  # fmt: skip
    return missing


def shorten(names: Sequence[str]) -> str:
    """Return the first names, quoted, and how many others there are."""
    shown = ", ".join(f"'{name}'" for name in names[:MAX_NAMED_COLUMNS])
    more = len(names) - MAX_NAMED_COLUMNS
    return f"{shown} and {more:,} others" if more > 0 else shown


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
