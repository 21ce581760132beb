"""The rows of a table, one after the other: of a .csv with the base install alone."""

from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tailfuse.errors import UserError
from tailfuse.files.long_cells import long_cells
from tailfuse.files.records import RecordError, iterate_records
from tailfuse.files.text_table import find_bad_line


def iterate_rows(table: Path) -> Iterator[Mapping[str, Any]]:
    """Yield the rows of a table by column; a table in text has strings, without spaces around them.

    Which texts are missing is not decided here. Raises UserError.
    """
    if table.suffix.lower() == ".csv" and find_spec("polars") is None:
        yield from iterate_csv(table)
        return
    from tailfuse.files.reading import Reading
    from tailfuse.files.table import read_batches

    for batch in read_batches(table, Reading(missing=())):
        yield from batch.iter_rows(named=True)


def iterate_csv(table: Path) -> Iterator[Mapping[str, Any]]:
    """Yield the rows of a .csv in UTF-8 whose values are separated by commas. Raises UserError."""
    try:
        with long_cells(), table.open(encoding="utf-8-sig", newline="") as file:
            records = iterate_records(file)
            header = [name.strip() for name in next((record for _, record in records if record), [])]
            for line, record in records:
                if len(record) == len(header):
                    yield {name: cell.strip() for name, cell in zip(header, record, strict=True)}
                elif record:
                    raise UserError(f"{table}: line {line}: {len(record)} values, {len(header)} columns")
    except FileNotFoundError:
        raise UserError(f"{table}: no such file") from None
    except UnicodeDecodeError:
        raise UserError(f"{table}: line {find_bad_line(table)} is not UTF-8 text") from None
    except RecordError as error:
        raise UserError(f"{table}: {error}") from None


def read_row(table: Path, row: int) -> Mapping[str, Any]:
    """Read one row, counted from 1. Raises UserError."""
    n_rows = 0
    for n_rows, found in enumerate(iterate_rows(table), 1):
        if n_rows == row:
            return found
    raise UserError(f"--row {row}: {table} has {n_rows:,} rows")
