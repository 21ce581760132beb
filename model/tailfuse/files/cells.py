"""The cells of a column as numbers, truth values or strings: one function for every reader of a table.

What a column holds is decided at training (`tailfuse.files.infer`) and kept in the bundle.
"""

from typing import Literal

import numpy as np
import polars as pl
from tailfuse_service.modalities.tabular.spelling import (
    BOOLEANS,
    PLAIN,
    NumberFormat,
    normalise,
    parse_number,
)

from tailfuse.errors import TableError
from tailfuse.files.table import Rows, spell_cells, type_name

ColumnType = Literal["number", "boolean", "category"]
Unreadable = Literal["stop", "missing"]
EXPECTED = {"number": "a finite number", "boolean": "true or false"}


def type_cells(
    series: pl.Series,
    to: ColumnType,
    where: str,
    rows: Rows,
    style: NumberFormat = PLAIN,
    unreadable: Unreadable = "stop",
    errors: dict[int, str] | None = None,
) -> pl.Series:
    """Return the cells at `rows` as Float64, Boolean or String.

    A cell that cannot be read so is missing if `unreadable` says that. Else `errors` tells of each row what
    is wrong; without `errors`, TableError names the first. Raises TableError for a column that holds neither
    numbers, booleans nor strings, too.
    """
    check_simple(series, where)
    values = series[rows]
    if to == "category":
        return compose_accents(to_strings(values))
    converted = to_numbers(values, style) if to == "number" else to_booleans(values)
    bad = converted.is_null() & values.is_not_null()
    if unreadable == "stop":
        report_cells(bad, values, f"{where}: expected {EXPECTED[to]}", rows, errors)
    return converted


def report_cells(
    bad: pl.Series, values: pl.Series, expected: str, rows: Rows, errors: dict[int, str] | None
) -> None:
    """Write down what is wrong with each bad cell. Raises TableError about the first if `errors` is None."""
    found: list[int] = np.flatnonzero(bad.to_numpy()).tolist()
    if errors is None:
        if found:
            others = f" ({len(found):,} such cells)" if len(found) > 1 else ""
            raise TableError(f"row {rows[found[0]] + 1}: {expected}, not {values[found[0]]!r:.40}{others}")
        return
    for at in found:
        errors.setdefault(int(rows[at]), f"{expected}, not {values[at]!r:.40}")


def read_texts(series: pl.Series, where: str, rows: Rows) -> pl.Series:
    """Return the texts at `rows`, as the table spells them. Raises TableError."""
    check_simple(series, where)
    return to_strings(series[rows])


def check_simple(series: pl.Series, where: str) -> None:
    """Raises TableError if the column holds neither numbers, booleans nor strings."""
    if series.dtype.is_nested() or series.dtype.is_temporal() or series.dtype in (pl.Binary, pl.Object):
        raise TableError(
            f"{where}: holds {type_name(series)}; a column of numbers, booleans or strings is taken"
        )


def to_numbers(values: pl.Series, style: NumberFormat = PLAIN) -> pl.Series:
    """Return the numbers as Float64; null is a missing value or no finite number.

    Equal to `parse_number`, which is asked about the few texts that polars reads otherwise.
    """
    numbers = values.cast(pl.Float64, strict=False)
    numbers = numbers.set(~numbers.is_finite().fill_null(True), None)
    if values.dtype != pl.String:
        return numbers
    if style != PLAIN:
        numbers = numbers.clear(len(values))
    unread = values.filter(numbers.is_null() & values.is_not_null()).unique()
    read = {text: number for text in unread if (number := parse_number(text, style)) is not None}
    if not read:
        return numbers
    return numbers.fill_null(values.replace_strict(read, default=None, return_dtype=pl.Float64))


def to_booleans(values: pl.Series) -> pl.Series:
    """Return the truth values as Boolean; null is a missing value or another one."""
    spelled = to_strings(values).str.strip_chars().str.to_lowercase()
    return spelled.replace_strict(BOOLEANS, default=None, return_dtype=pl.Boolean)


def to_strings(values: pl.Series) -> pl.Series:
    """Return any values as strings, spelled as `tailfuse_service.modalities.tabular.spelling.spell` does."""
    return values.to_frame().select(spell_cells(pl.all(), values.dtype)).to_series()


def compose_accents(names: pl.Series) -> pl.Series:
    """Return names with composed accents (Unicode NFC), so that two spellings of café are one category."""
    texts = names.unique()
    accented = texts.filter(texts.str.contains(r"[^\x00-\x7F]"))
    composed = {name: other for name in accented if (other := normalise(name)) != name}
    return names.replace(composed) if composed else names
