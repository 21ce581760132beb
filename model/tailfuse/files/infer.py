"""What a column of an unknown table holds: decided once, at training, from all of its cells."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import Literal

import polars as pl
from tailfuse_service.modalities.tabular.spelling import (
    LEADING_ZERO,
    PLAIN,
    UNITS,
    NumberFormat,
    parse_number,
)

from tailfuse.errors import TableError
from tailfuse.files.cells import ColumnType, to_booleans, to_numbers
from tailfuse.files.measured_texts import describe_measured

Decimal = Literal[".", ","]

MIN_NUMBERS = 0.1  # of texts; with a smaller share of numbers a category is no close call
MIN_CODES = 0.1  # of numbers; with a larger share of leading zeros they are codes
SAMPLE = 2000  # different texts by which the format is chosen
# 1.500 as a German writes a thousand and a half; beside such cells smaller numbers have no point.
GROUPED, SMALL = r"^[+-]?[1-9][0-9]{0,2}\.[0-9]{3}$", r"^[+-]?[0-9]{1,3}$"
GROUPING = NumberFormat(decimal=",", thousands=".")
MARKS: dict[Decimal, tuple[Literal["", ",", ".", " ", "'"], ...]] = {
    ".": ("", ",", " ", "'"),
    ",": ("", ".", " ", "'"),
}


@dataclass(frozen=True, slots=True)
class InferredColumn:
    """A column's content. `note` says what was a close call, `odd_row` is the first that is no number."""

    type: ColumnType
    style: NumberFormat = PLAIN
    note: str | None = None
    odd_row: int | None = None


def infer_column(series: pl.Series, decimal: Decimal | None = None) -> InferredColumn:
    """Infer what a column holds: numbers if most of its texts are, categories if they look like codes.

    Raises TableError if its numbers may mean two things, such as 1,500 where `decimal` is not given, or 0.05
    beside 5%.
    """
    if series.dtype == pl.Boolean:
        return InferredColumn("boolean")
    if series.dtype != pl.String:
        return InferredColumn("number" if series.dtype.is_numeric() else "category")
    distinct = series.drop_nulls().unique(maintain_order=True)
    if len(distinct) and set(distinct.str.to_lowercase().unique()) <= {"true", "false"}:
        return InferredColumn("boolean")
    style = infer_format(series, decimal)
    check_percentages(series, style)
    numbers = to_numbers(distinct, style)
    is_number = series.is_in(distinct.filter(numbers.is_not_null()).implode())
    total, count = series.count(), int(is_number.sum())
    if not count or count < MIN_NUMBERS * total:
        return InferredColumn("category", note=describe_measured(distinct))
    code_note = describe_codes(series.filter(is_number))
    if code_note is not None:
        return InferredColumn("category", note=code_note or None)
    if count <= total / 2:
        return InferredColumn("category", note=f"only {count:,} of {total:,} values are numbers")
    if count < total:
        at = int((series.is_not_null() & ~is_number).arg_max() or 0)
        note = f"{count:,} of {total:,} values are numbers, but row {at + 1} is {series[at]!r:.40}"
        return InferredColumn("number", style, note, at)
    return InferredColumn("number", style, describe_number_format(series, style))


def infer_types(table: pl.DataFrame) -> pl.DataFrame:
    """Return the columns of strings that hold numbers or truth values as such, where that is beyond doubt."""
    columns = {}
    for series in table:
        if series.dtype == pl.String:
            try:
                inferred = infer_column(series)
            except TableError:
                inferred = InferredColumn("category")
            if inferred.type == "boolean":
                series = to_booleans(series)
            elif inferred.type == "number" and inferred.odd_row is None:
                series = to_numbers(series, inferred.style)
        columns[series.name] = series
    return pl.DataFrame(columns)


def infer_format(series: pl.Series, decimal: Decimal | None = None) -> NumberFormat:
    """Infer how a column writes its numbers. Raises TableError if they may mean two things."""
    if series.dtype != pl.String:
        return PLAIN
    distinct = series.drop_nulls().unique(maintain_order=True)
    if to_numbers(distinct).null_count() or decimal == "," or looks_grouped(distinct, beside_small=True):
        return choose_format(distinct, series.name, decimal)
    return PLAIN


def choose_format(distinct: pl.Series, name: str, decimal: Decimal | None) -> NumberFormat:
    """Choose the format that reads most texts, the plain one where others read no more. Raises TableError."""
    texts = distinct.gather_every(max(1, len(distinct) // SAMPLE)).to_list()
    ends = [text[:1] + text[-1:] for text in texts]
    unit = max(UNITS, key=lambda sign: sum(sign in end for end in ends))
    units = ("", unit) if any(unit in end for end in ends) else ("",)
    styles = [
        NumberFormat(decimal=mark, thousands=thousands, unit=sign)
        for sign, mark in product(units, MARKS)
        if decimal in (None, mark)
        for thousands in MARKS[mark]
    ]
    read = {style: [parse_number(text, style) for text in texts] for style in (PLAIN, *styles)}
    counts = {style: len(texts) - numbers.count(None) for style, numbers in read.items()}
    best = max(counts, key=lambda style: counts[style])
    if decimal == "," and best == PLAIN and counts[GROUPING] == counts[PLAIN]:
        best = GROUPING if read[GROUPING] != read[PLAIN] else PLAIN
    rivals = [style for style in styles if counts[style] == counts[best] > counts[PLAIN]]
    if decimal is None and best == PLAIN and looks_grouped(distinct, beside_small=True):
        rivals = [GROUPING]
    for style in rivals:
        differs = (at for at, number in enumerate(read[style]) if number != read[best][at])
        if (at := next(differs, None)) is not None:
            raise describe_doubt(name, texts[at], best, style)
    return best


def describe_doubt(name: str, text: str, *styles: NumberFormat) -> TableError:
    """Make the error of a number that may be two."""
    first, second = (parse_number(text, style) for style in styles)
    return TableError(
        f"column '{name}': {text!r} may be {first:g} or {second:g}; say which, as in `decimal: ','` or "
        "`decimal: '.'`"
    )


def check_percentages(series: pl.Series, style: NumberFormat) -> None:
    """Raises TableError if fractions stand beside percentages: 0.05 beside 5% may be the same number."""
    if style.unit != "%":
        return
    has_sign = series.str.contains("%", literal=True)
    bare = to_numbers(series, style).abs().set(has_sign.fill_null(True), None)
    is_fraction = ((bare > 0) & (bare < 1)).fill_null(False)
    if not is_fraction.any() or (bare > 1).any():  # 12 beside 5% is a percentage, and so is 0.5 beside 12
        return
    percentage, fraction = (int(each.fill_null(False).arg_max() or 0) for each in (has_sign, is_fraction))
    raise TableError(
        f"column '{series.name}': row {percentage + 1} is {series[percentage]!r}, but row {fraction + 1} is "
        f"{series[fraction]!r}, which may be a fraction; write all with % or none, or say "
        f"`types: {{{series.name}: number}}` if it is a percentage"
    )


def looks_grouped(texts: pl.Series, *, beside_small: bool = False) -> bool:
    """Return whether points may group thousands: each has three digits after it, and no zero before it.

    With `beside_small` there are numbers without a point, too, all of which are below a thousand.
    """
    numbers = texts.filter(to_numbers(texts).is_not_null())
    grouped, small = numbers.str.contains(GROUPED), numbers.str.contains(SMALL)
    return bool(grouped.any() and (grouped | small).all() and (small.any() or not beside_small))


def find_doubtful(table: pl.DataFrame, inferred: Mapping[str, InferredColumn]) -> dict[str, TableError]:
    """Return the errors of columns whose points may group thousands, since another has decimal commas.

    Beside 3,5 in one column, 1.500 in another may be a thousand and a half.
    """
    if not any(each.style.decimal == "," for each in inferred.values()):
        return {}
    doubtful = {}
    for name, each in inferred.items():
        if each.type == "number" and each.style == PLAIN and table[name].dtype == pl.String:
            texts = table[name].drop_nulls()
            if looks_grouped(texts):
                grouped = texts.filter(texts.str.contains(GROUPED))[0]
                doubtful[name] = describe_doubt(name, grouped, PLAIN, GROUPING)
    return doubtful


def describe_codes(numbers: pl.Series) -> str | None:
    """Return why texts that could be numbers are codes, "" if that is beyond doubt, None if they are not."""
    with_zero = int(numbers.str.contains(rf"^{LEADING_ZERO.pattern}").sum())
    if not with_zero:
        return None
    if numbers.str.contains(r"^\d+$").all() and numbers.str.len_chars().n_unique() == 1:
        return ""  # digits of one length, such as 01234 and 90210
    if with_zero < MIN_CODES * len(numbers):
        return None
    return f"{with_zero:,} of {len(numbers):,} values begin with 0, as codes do"


def describe_number_format(series: pl.Series, style: NumberFormat) -> str | None:
    """Return how numbers are written, if it is unusual."""
    if style != PLAIN:
        odd = series.filter(to_numbers(series).ne_missing(to_numbers(series, style)))[0]
        return f"{odd!r} is {parse_number(odd, style):g}"
    with_zero = series.str.contains(rf"^{LEADING_ZERO.pattern}").fill_null(False)
    if not with_zero.any():
        return None
    at = int(with_zero.arg_max() or 0)
    return f"row {at + 1} is {series[at]!r}, which begins with 0 as a code does"
