"""Tables: read from the formats that people have, with one rule for what is missing.

A table in text gives strings only, as the file spells them. What a column holds is decided once, at training,
for the column as a whole (`tailfuse.files.infer`), never by what else stands in a table that is read later.
"""

import fnmatch
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray
from polars.selectors import by_name  # pl.col takes * and ^…$ for patterns
from tailfuse_service.modalities.tabular.spelling import MissingTexts

from tailfuse.errors import TableError
from tailfuse.files.formats import TEXT_ENDINGS
from tailfuse.files.reading import DEFAULT_READING, Reading
from tailfuse.files.sources import check_columns, find_parts
from tailfuse.files.text_table import (
    TextTable,
    describe_encoding,
    find_bad_line,
    iterate_pieces,
    open_text_table,
)
from tailfuse.files.typed_table import make_read_error, scan_typed
from tailfuse.spelling import did_you_mean

INDEX = re.compile(r"|Unnamed: \d+|__index_level_\d+__")  # the index that pandas writes into a file
BATCH_ROWS = 65_536
WIDE = 0.1  # a text of `missing` in this share of a column's rows may be a value

Rows = NDArray[np.int64]  # indices into a table, from 0


def read_table(path: Path, reading: Reading = DEFAULT_READING) -> pl.DataFrame:
    """Read a table. Strings have no spaces around them; "" and the texts in `reading.missing` are null.

    Columns of a table in text are strings. Other formats keep their types; categoricals are strings, NaN is
    null. Raises TableError.
    """
    with open_table(path, reading) as frame:
        table = collect(path, frame)
    if not len(table):
        raise TableError(f"{path}: the table has no rows")
    return table


def read_batches(
    path: Path, reading: Reading = DEFAULT_READING, rows: int = BATCH_ROWS
) -> Iterator[pl.DataFrame]:
    """Yield a table in pieces of at most as many rows. Raises TableError.

    Of a table in text one piece is in memory at a time; polars would read ahead without a bound.
    """
    parts = find_parts(path) or [path]
    columns: pl.Expr = pl.all()
    if len(parts) > 1:
        with open_table(path, reading) as whole:  # which checks that all have the same
            columns = by_name(whole.collect_schema().names())
    for part in parts:
        try:
            if not is_text(part):
                frame = normalise(scan_typed(part), reading.missing).select(columns)
                yield from frame.collect_batches(chunk_size=rows, maintain_order=True)
                continue
            with open_text_table(part, reading) as text:
                for piece, blank_rows in iterate_pieces(text):
                    frame = normalise(scan_text(text, piece, 0, blank_rows), reading.missing).select(columns)
                    yield from frame.collect().iter_slices(rows)
        except (OSError, EOFError, pl.exceptions.PolarsError) as error:
            raise describe_failure(part, error) from None


@contextmanager
def open_table(path: Path, reading: Reading) -> Iterator[pl.LazyFrame]:
    """Yield a table that has not been read yet. Raises TableError."""
    parts = find_parts(path) or [path]
    with ExitStack() as opened:
        frames = [open_part(part, reading, opened) for part in parts]
        if len(frames) == 1:
            yield frames[0]
            return
        yield join_parts(parts, frames)


def join_parts(parts: Sequence[Path], frames: Sequence[pl.LazyFrame]) -> pl.LazyFrame:
    """Return the parts of a table as one. Raises TableError if their columns do not go together.

    A column that is text in one part is text in all: numbers are spelled as those of one part alone are.
    """
    schemas = [frame.collect_schema() for frame in frames]
    check_columns([(part, schema.names()) for part, schema in zip(parts, schemas, strict=True)])
    names = schemas[0].names()
    for name in names:
        check_types(name, dict(zip(parts, (schema[name] for schema in schemas), strict=True)))
    texts = {name for name in names if any(schema[name] == pl.String for schema in schemas)}
    spelled = [
        frame.select(
            spell_cells(by_name(name), schema[name]) if name in texts else by_name(name) for name in names
        )
        for frame, schema in zip(frames, schemas, strict=True)
    ]
    return pl.concat(spelled, how="vertical_relaxed")


def check_types(column: str, types: Mapping[Path, pl.DataType]) -> None:
    """Raises TableError if the parts of a table have a column in types that do not go together."""
    known = {part: dtype for part, dtype in types.items() if dtype != pl.Null}
    for (first, one), (part, other) in pairwise(known.items()):
        if classify_type(one) != classify_type(other):
            held, expected = name_type(other), name_type(one)
            raise TableError(
                f"{part}: column '{column}' holds {held}, but {expected} in {first.name}; "
                "write it in one type in all files"
            )


def classify_type(dtype: pl.DataType) -> str:
    """Return what the types have in common that one column may have in the parts of a table."""
    if dtype == pl.String or dtype.is_numeric() or dtype == pl.Boolean:
        return "text"
    return "time" if dtype.is_temporal() else name_type(dtype)


def spell_cells(cells: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """Spell cells as `tailfuse_service.modalities.tabular.spelling.spell` does: floats such as 3.0 are 3."""
    strings = cells.cast(pl.String)
    if not dtype.is_float():
        return strings
    # Whole numbers become float when one of them is missing: category 3 must stay "3".
    whole = cells.cast(pl.Int64, strict=False)
    return pl.when(whole.cast(dtype) == cells).then(whole.cast(pl.String)).otherwise(strings)


def open_part(path: Path, reading: Reading, opened: ExitStack) -> pl.LazyFrame:
    """Return one file of a table, which `opened` closes. Raises TableError."""
    try:
        if not is_text(path):
            return normalise(scan_typed(path), reading.missing)
        text = opened.enter_context(open_text_table(path, reading))
        frame = scan_text(text, text.path, text.skip_lines, text.blank_rows)
        return normalise(frame, reading.missing)
    except (OSError, EOFError, pl.exceptions.PolarsError) as error:
        raise describe_failure(path, error) from None


def is_text(path: Path) -> bool:
    """Return whether a table is text, whose columns are strings."""
    return path.is_file() and path.name.lower().endswith(TEXT_ENDINGS)


def scan_text(
    text: TextTable, source: Path | bytes, skip_lines: int, blank_rows: Sequence[int]
) -> pl.LazyFrame:
    """Return the records of a table in text, or of a piece of it, as strings."""
    frame = pl.scan_csv(
        source, separator=text.separator, has_header=False, skip_lines=skip_lines,
        schema=dict.fromkeys(text.header, pl.String), glob=False,
        missing_columns="insert",  # polars counts the columns of the first line, which may be blank
    )  # fmt: skip
    return frame.filter(~pl.int_range(pl.len()).is_in(list(blank_rows))) if blank_rows else frame


def collect(path: Path, frame: pl.LazyFrame) -> pl.DataFrame:
    """Read all of a table. Raises TableError."""
    try:
        return frame.collect()
    except pl.exceptions.PolarsError as error:
        raise describe_failure(path, error) from None


def describe_failure(path: Path, error: Exception) -> TableError:
    """Make the error of a file that cannot be read."""
    if isinstance(error, pl.exceptions.PolarsError) and path.name.lower().endswith(TEXT_ENDINGS[:2]):
        line = find_bad_line(path)
        if line is not None:
            return describe_encoding(path, line)
    return make_read_error(path, error)


def normalise(frame: pl.LazyFrame, missing: Sequence[str]) -> pl.LazyFrame:
    """The same values with one spelling of missing, and fewer types."""
    none = MissingTexts(missing)
    texts, numbers = sorted(none.texts), sorted(none.numbers)
    columns = []
    for name, dtype in frame.collect_schema().items():
        column: pl.Expr = by_name(name)
        if dtype in (pl.Categorical, pl.Enum):
            column, dtype = column.cast(pl.String), pl.String()
        if dtype == pl.String:
            column = column.str.strip_chars()
            is_missing = column.is_in(texts)
            if numbers:
                is_missing |= column.cast(pl.Float64, strict=False).is_in(numbers).fill_null(False)
            column = pl.when(is_missing).then(None).otherwise(column)
        elif dtype.is_numeric():
            column = column.fill_nan(None) if dtype.is_float() else column
            if numbers:
                is_missing = column.cast(pl.Float64).is_in(numbers).fill_null(False)
                column = pl.when(is_missing).then(None).otherwise(column)
        columns.append(column.alias(name))
    return frame.select(columns)


def match_columns(table: pl.DataFrame, patterns: Sequence[str], key: str) -> list[str]:
    """Return the columns that match names or patterns such as "rna_*", in the table's order.

    A pattern does not match the index that pandas wrote. Raises TableError that names the spec's `key`.
    """
    wanted: set[str] = set()
    for pattern in patterns:
        found = {pattern} & set(table.columns)  # a name may itself hold a bracket
        found = found or {
            name for name in table.columns if fnmatch.fnmatchcase(name, pattern) and not INDEX.fullmatch(name)
        }
        if not found:
            what = "no column matches" if set(pattern) & set("*?[") else "the table has no column"
            raise TableError(f"{key}: {what} '{pattern}'{did_you_mean(pattern, table.columns)}")
        wanted |= found
    return [column for column in table.columns if column in wanted]


def describe_wide_missing(table: pl.DataFrame, missing: Sequence[str]) -> list[str]:
    """Describe the texts of `missing` that stand in a tenth of a column's rows or more, one line for each.

    `table` was read with nothing but "" as missing.
    """
    found = []
    texts = [text.strip() for text in missing]
    for series in table:
        if series.dtype == pl.String:
            counts = series.filter(series.is_in(texts)).value_counts().rows()
            found += [
                f"column '{series.name}': '{text}' in {count:,} of {len(table):,} rows is taken as missing; "
                "if it is a value, list what is missing under `missing:`, without it"
                for text, count in sorted(counts)
                if count >= WIDE * len(table)
            ]
    return found


def type_name(series: pl.Series) -> str:
    """Return a column's type in one word, for a message."""
    return name_type(series.dtype)


def name_type(dtype: pl.DataType) -> str:
    """Return a type in one word, for a message."""
    return str(dtype.base_type()).lower()


def place(modality: str, column: str) -> str:
    """Return a modality's column, for a message."""
    return f"modality '{modality}', column '{column}'"


def check_some_value(values: pl.Series, modality: str) -> None:
    """Raises TableError if every value is missing."""
    if values.null_count() == len(values):
        raise TableError(f"{place(modality, values.name)}: missing in every training row")
