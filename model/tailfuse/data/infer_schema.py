"""What the columns of an unknown table are probably for."""

import io
import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl
from PIL import Image
from tailfuse_service.bundle import InvalidInput
from tailfuse_service.modalities.series.features import read_steps

from tailfuse.data.infer_label import ID, choose_label, find_other_labels
from tailfuse.data.infer_strings import is_long_text, looks_like_text
from tailfuse.data.split import PARTS
from tailfuse.errors import TableError
from tailfuse.files.cells import ColumnType, to_booleans, to_numbers
from tailfuse.files.infer import Decimal, InferredColumn, find_doubtful, infer_column
from tailfuse.files.measured_texts import looks_like_dates
from tailfuse.files.table import INDEX, type_name
from tailfuse.modalities.series.raw import list_depth, read_series

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp")
RECORDINGS = (".npy", ".wav")
NUMBERED = re.compile(r"(.*?[^0-9])[0-9]+")
MIN_FAMILY = 3  # columns
SAMPLE = 200  # values looked at, where looking at all would be slow


@dataclass(slots=True)
class InferredSchema:
    """Columns by what they are for. `families` are numbered columns, such as fou_0 … fou_75, by "fou_"."""

    label: str
    label_is_sure: bool
    split: str | None = None
    groups: list[str] = field(default_factory=list)
    images: dict[str, tuple[int, int]] = field(default_factory=dict)  # (height, width) of the first
    series: dict[str, tuple[int, int]] = field(default_factory=dict)  # (steps, channels) of the first
    channels: list[str] = field(default_factory=list)  # of one series: as many steps in every row
    texts: list[str] = field(default_factory=list)
    families: dict[str, list[str]] = field(default_factory=dict)
    rest: list[str] = field(default_factory=list)
    close_calls: dict[str, InferredColumn] = field(default_factory=dict)  # columns whose type is not clear
    left_out: dict[str, str] = field(default_factory=dict)  # and why


def infer_schema(
    table: pl.DataFrame, folder: Path, label: str | None = None, decimal: Decimal | None = None
) -> InferredSchema:
    """Infer what the columns of a table are for; its images lie in `folder`.

    `label` is the column that the user says is the label. Raises TableError if nothing could be one.
    """
    split = next((column for column in table.columns if column != label and is_split(table[column])), None)
    inferred, ambiguous = infer_columns(table, decimal)
    values = pl.DataFrame({each.name: convert_column(each, inferred.get(each.name)) for each in table})
    label, is_sure = choose_label(values, split, label)
    schema = InferredSchema(label, is_sure, split)
    train = values.filter(pl.col(split) == "train") if split else values
    reasons = find_other_labels(values, label) | ambiguous
    index = "it is the index that pandas wrote, or has no name"
    reasons |= {name: index for name in table.columns if INDEX.fullmatch(name)}
    for series in values:
        if series.name in (label, split):
            continue
        if series.name in reasons:
            schema.left_out[series.name] = reasons[series.name]
        else:
            place_column(schema, series, train[series.name].drop_nulls(), folder)
    schema.channels = find_channels(schema.series, train)
    schema.families = find_families(schema.rest)
    schema.close_calls = {
        name: inferred[name] for name in schema.rest if name in inferred and inferred[name].note
    }
    in_family = {column for members in schema.families.values() for column in members}
    schema.rest = [column for column in schema.rest if column not in in_family]
    return schema


def infer_columns(
    table: pl.DataFrame, decimal: Decimal | None = None
) -> tuple[dict[str, InferredColumn], dict[str, str]]:
    """Return what the columns of strings hold, and those whose numbers may mean two things, and why."""
    inferred, ambiguous = {}, {}
    for series in table:
        if series.dtype == pl.String:
            try:
                inferred[series.name] = infer_column(series, decimal)
            except TableError as error:
                ambiguous[series.name] = explain(series.name, error)
    doubtful = find_doubtful(table, inferred) if decimal is None else {}
    ambiguous |= {name: explain(name, doubt) for name, doubt in doubtful.items()}
    return inferred, ambiguous


def explain(column: str, error: TableError) -> str:
    """Return what is wrong with a column, for a line that names it."""
    return str(error).removeprefix(f"column '{column}': ")


def convert_column(series: pl.Series, inferred: InferredColumn | None) -> pl.Series:
    """Return a column of strings as the numbers or truth values that it holds; odd cells are missing."""
    to: ColumnType = "category" if inferred is None else inferred.type
    if inferred is None or to == "category":
        return series
    if to == "boolean":
        return to_booleans(series)
    numbers = to_numbers(series, inferred.style)
    if series.str.contains(".", literal=True).any():
        return numbers  # 0.0, 1.0 and 2.0 are measured rather than counted
    whole = numbers.cast(pl.Int64, strict=False)
    return whole if whole.cast(pl.Float64).equals(numbers) else numbers


def is_split(series: pl.Series) -> bool:
    """Return whether the values are train, test and perhaps val."""
    if series.dtype != pl.String:
        return False
    values = set(series.drop_nulls().unique())  # without a value, a row is left out
    return values <= set(PARTS) and {"train", "test"} <= values


def place_column(schema: InferredSchema, series: pl.Series, values: pl.Series, folder: Path) -> None:
    """Write down what one column is for, judged by its training `values`."""
    name = series.name
    is_image = looks_like_image(values)
    size = read_image_size(values[0], folder) if is_image else None
    is_series = looks_like_series(values)
    shape = read_series_shape(values, folder) if is_series else None
    if size:
        schema.images[name] = size
    elif shape:
        schema.series[name] = shape
    elif is_image:
        schema.left_out[name] = "it looks like images, but the first one cannot be opened"
    elif is_series:
        schema.left_out[name] = "it looks like series, but the first one cannot be read"
    elif why := describe_useless(series, values):
        schema.left_out[name] = why
        if ID.fullmatch(name) and 1 < series.n_unique() < len(series):
            schema.groups.append(name)
    elif series.dtype == pl.String and looks_like_text(values):
        schema.texts.append(name)
    elif series.dtype == pl.String and (distinct := values.n_unique()) > len(values) / 2:
        schema.left_out[name] = f"it has {distinct:,} different strings that look like codes: an identifier?"
    else:
        schema.rest.append(name)


def describe_useless(series: pl.Series, values: pl.Series) -> str | None:
    """Return why no model learns from a column, or None."""
    if not len(values):
        return "it has no value in a training row"
    if looks_like_dates(values):
        return (
            f"it holds dates or times, such as {values[0]}, which no modality reads; "
            "add a column with what matters of them, such as the year, the weekday or an age in days"
        )
    if not (series.dtype in (pl.String, pl.Boolean) or series.dtype.is_numeric()):
        return f"it holds {type_name(series)}"
    if ID.fullmatch(series.name) and not (series.dtype == pl.String and is_long_text(values)):
        return "it looks like an identifier"
    if counts_rows(series):
        return "it counts the rows"
    if series.n_unique() == 1:
        return f"it is '{values[0]!s:.40}' in every row"
    if series.dtype.is_float() and values.is_infinite().any():
        return "it holds infinite numbers"
    return None


def counts_rows(series: pl.Series) -> bool:
    """Return whether the values are 0, 1, 2, … or 1, 2, 3, …, in any order."""
    if not series.dtype.is_integer() or len(series) < 2 or series.null_count():
        return False
    ordered = series.cast(pl.Int64).sort()
    return ordered[0] in (0, 1) and bool((ordered.diff().drop_nulls() == 1).all())


def looks_like_image(values: pl.Series) -> bool:
    """Return whether the values are paths with an image's suffix, or bytes."""
    if values.dtype == pl.String:
        return len(values) > 0 and all(
            value.lower().endswith(IMAGE_SUFFIXES) for value in values.head(SAMPLE)
        )
    return values.dtype == pl.Binary and len(values) > 0


def read_image_size(value: str | bytes, folder: Path) -> tuple[int, int] | None:
    """Return height and width of an image, or None if it cannot be opened."""
    try:
        with Image.open(folder / value if isinstance(value, str) else io.BytesIO(value)) as image:
            return image.height, image.width
    except Exception:  # decoders raise whatever they like
        return None


def looks_like_series(values: pl.Series) -> bool:
    """Return whether the values are lists of numbers, also as CSV spells them, or paths of recordings."""
    if values.dtype == pl.String:
        return len(values) > 0 and all(
            value.lower().endswith(RECORDINGS) or value.startswith("[") for value in values.head(SAMPLE)
        )
    return list_depth(values.dtype) in (1, 2) and len(values) > 0


def read_series_shape(values: pl.Series, folder: Path) -> tuple[int, int] | None:
    """Return steps and channels of the first series, or None if it cannot be read or has no value."""
    first = values.head(1).to_frame()
    try:
        (raw,) = read_series(first, "", [values.name], folder, np.array([0]))
        steps = None if raw is None else read_steps("", raw, [values.name])
    except (InvalidInput, TableError):
        return None
    return None if steps is None else (len(steps), steps.shape[1])


def find_channels(shapes: dict[str, tuple[int, int]], train: pl.DataFrame) -> list[str]:
    """Return the columns of lists that are as long as each other in every row, if there are several."""
    columns = [
        column for column in shapes
        if isinstance(train[column].dtype, pl.List) and list_depth(train[column].dtype) == 1
    ]  # fmt: skip
    lengths = [train[column].list.len() for column in columns]
    alike = len(columns) > 1 and all(length.equals(lengths[0]) for length in lengths)
    return columns if alike else []


def find_families(columns: list[str]) -> dict[str, list[str]]:
    """Return columns whose names differ in a number at the end only, by what comes before it."""
    by_stem: dict[str, list[str]] = {}
    for column in columns:
        if match := NUMBERED.fullmatch(column):
            by_stem.setdefault(match[1], []).append(column)
    return {stem: members for stem, members in by_stem.items() if len(members) >= MIN_FAMILY}
