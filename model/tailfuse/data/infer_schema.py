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

from tailfuse.data.split import PARTS
from tailfuse.errors import TableError
from tailfuse.files.infer import infer_column
from tailfuse.files.table import type_name
from tailfuse.modalities.series.raw import list_depth, read_series
from tailfuse.modalities.tabular.fit import MIN_CATEGORIES

LABELS = ("label", "labels", "class", "target", "y", "diagnosis", "dx", "category", "species", "outcome")
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp")
RECORDINGS = (".npy", ".wav")
ID = re.compile(r"index|key|(.*[_ .-])?(id|uuid|guid)", re.IGNORECASE)
NUMBERED = re.compile(r"(.*?[^0-9])[0-9]+")
SMALLEST_FAMILY = 3
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
    left_out: dict[str, str] = field(default_factory=dict)  # and why


def infer_schema(table: pl.DataFrame, folder: Path) -> InferredSchema:
    """Look at a table whose images lie in `folder`. Raises TableError if nothing could be a label."""
    split = next((column for column in table.columns if is_split(table[column])), None)
    label, is_sure = infer_label(table, {split})
    schema = InferredSchema(label, is_sure, split)
    train = table.filter(pl.col(split) == "train") if split else table
    for series in table:
        if series.name not in (label, split):
            place_column(schema, series, train[series.name].drop_nulls(), folder)
    schema.channels = channels_of_one(schema.series, train)
    schema.families = families(schema.rest)
    in_family = {column for members in schema.families.values() for column in members}
    schema.rest = [column for column in schema.rest if column not in in_family]
    return schema


def is_split(series: pl.Series) -> bool:
    """Whether the values are train, test and perhaps val."""
    if series.dtype != pl.String:
        return False
    values = set(series.drop_nulls().unique())  # without a value, a row is left out
    return values <= set(PARTS) and {"train", "test"} <= values


def infer_label(table: pl.DataFrame, taken: set[str | None]) -> tuple[str, bool]:
    """The label's column, and whether its name says so."""
    fit = [series for series in table if series.name not in taken and has_classes(series)]
    named = [series.name for name in LABELS for series in fit if series.name.lower() == name]
    if named:
        return named[0], True
    # Of the others, names of classes rather than numbers, and few rather than many.
    fit.sort(key=lambda series: (series.dtype != pl.String, series.n_unique()))
    fit = [series for series in fit if not ID.fullmatch(series.name) and not series.dtype.is_float()]
    if not fit:
        raise TableError("no column looks like a label: a few values, each of them in several rows")
    return fit[0].name, False


def has_classes(series: pl.Series) -> bool:
    """Whether the values could be classes: at least two, and several rows of each."""
    if not (series.dtype in (pl.String, pl.Boolean) or series.dtype.is_numeric()):
        return False
    values = series.drop_nulls()
    return 2 <= values.n_unique() <= len(values) / 3


def place_column(schema: InferredSchema, series: pl.Series, values: pl.Series, folder: Path) -> None:
    """Write down what one column is for, judged by its training `values`."""
    name = series.name
    distinct = 0 if series.dtype.is_nested() else values.n_unique()
    is_image = looks_like_image(values)
    size = read_image_size(values[0], folder) if is_image else None
    is_series = looks_like_series(values)
    shape = series_shape(values, folder) if is_series else None
    if not name:
        schema.left_out[name] = "it has no name"
    elif not len(values):
        schema.left_out[name] = "it has no value in a training row"
    elif size:
        schema.images[name] = size
    elif is_image:
        schema.left_out[name] = "it looks like images, but the first one cannot be opened"
    elif shape:
        schema.series[name] = shape
    elif is_series:
        schema.left_out[name] = "it looks like series, but the first one cannot be read"
    elif not (series.dtype in (pl.String, pl.Boolean) or series.dtype.is_numeric()):
        schema.left_out[name] = f"it holds {type_name(series)}"
    elif looks_like_text(values):
        schema.texts.append(name)
    elif ID.fullmatch(name):
        if 1 < series.n_unique() < len(series):
            schema.groups.append(name)
        schema.left_out[name] = "it looks like an identifier"
    elif counts_rows(series):
        schema.left_out[name] = "it counts the rows"
    elif series.dtype == pl.String and (distinct > MIN_CATEGORIES or distinct > len(values) / 2):
        schema.left_out[name] = (
            infer_column(series).note or f"it has {distinct:,} different strings: an identifier?"
        )
    elif series.dtype.is_float() and values.is_infinite().any():
        schema.left_out[name] = "it holds infinite numbers"
    else:
        schema.rest.append(name)


def counts_rows(series: pl.Series) -> bool:
    """0, 1, 2, … or 1, 2, 3, …"""
    return (
        series.dtype.is_integer()
        and len(series) > 1
        and series[0] in (0, 1)
        and bool((series.cast(pl.Int64).diff().drop_nulls() == 1).all())
        and not series.null_count()
    )


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
    """Lists of numbers, also as CSV spells them, or paths that end as recordings do."""
    if values.dtype == pl.String:
        return len(values) > 0 and all(
            value.lower().endswith(RECORDINGS) or value.startswith("[") for value in values.head(SAMPLE)
        )
    return list_depth(values.dtype) in (1, 2) and len(values) > 0


def series_shape(values: pl.Series, folder: Path) -> tuple[int, int] | None:
    """Steps and channels of the first series, or None if it cannot be read or has no value."""
    first = values.head(1).to_frame()
    try:
        (raw,) = read_series(first, "", [values.name], folder, np.array([0]))
        steps = None if raw is None else read_steps("", raw, [values.name])
    except (InvalidInput, TableError):
        return None
    return None if steps is None else (len(steps), steps.shape[1])


def channels_of_one(shapes: dict[str, tuple[int, int]], train: pl.DataFrame) -> list[str]:
    """The columns of lists that are as long as each other in every row, if there are several."""
    columns = [
        column for column in shapes
        if isinstance(train[column].dtype, pl.List) and list_depth(train[column].dtype) == 1
    ]  # fmt: skip
    lengths = [train[column].list.len() for column in columns]
    alike = len(columns) > 1 and all(length.equals(lengths[0]) for length in lengths)
    return columns if alike else []


def looks_like_text(values: pl.Series) -> bool:
    """Strings of several words, most of them different."""
    if values.dtype != pl.String or not len(values):
        return False
    sample = values.head(SAMPLE).to_list()
    words = float(np.median([len(value.split()) for value in sample]))
    return words >= 4 and len(set(sample)) > len(sample) / 2


def families(columns: list[str]) -> dict[str, list[str]]:
    """Columns whose names differ in a number at the end only, by what comes before it."""
    by_stem: dict[str, list[str]] = {}
    for column in columns:
        if match := NUMBERED.fullmatch(column):
            by_stem.setdefault(match[1], []).append(column)
    return {stem: members for stem, members in by_stem.items() if len(members) >= SMALLEST_FAMILY}
