"""A first spec for an unknown table: YAML with comments that say what was guessed, and why."""

import json
import os
import re
from fnmatch import fnmatchcase
from pathlib import Path

import polars as pl
from tailfuse_service.modalities.series.features import with_noun

from tailfuse.data.infer_schema import InferredSchema, infer_schema
from tailfuse.errors import TableError
from tailfuse.files.infer import infer_types
from tailfuse.files.table import read_table

PLAIN = re.compile(r"[A-Za-z0-9_./][A-Za-z0-9_./-]*")
DEFAULT_SIZE = 64
DEFAULT_LENGTH = 256
NOT_TEXT = ("null", "Null", "NULL")
SHOWN = 10  # classes


def scaffold_spec(table_path: Path, folder: Path = Path()) -> str:
    """The text of a spec that lies in `folder`. Raises TableError."""
    table = infer_types(read_table(table_path))
    try:
        schema = infer_schema(table, table_path.parent)
    except TableError as error:
        raise TableError(f"{table_path}: {error}") from None
    modalities = modality_lines(schema, table.columns)
    if not modalities:
        raise TableError(f"{table_path}: no column is left to learn from beside '{schema.label}'")
    name = table_path.resolve().parent.name if table_path.stem == "table" else table_path.stem
    lines = [
        *header(table, table_path, schema),
        f"name: {scalar(re.sub(r'[^a-z0-9]+', '-', name.lower()).strip('-') or 'model')}",
        f"table: {scalar(Path(os.path.relpath(table_path, folder)).as_posix())}",
        f"label: {scalar(schema.label)}" + ("" if schema.label_is_sure else "  # a guess: check it"),
        *split_lines(schema, table),
        "modalities:",
        *modalities,
        *left_out_lines(schema),
    ]
    return "\n".join(lines) + "\n"


def header(table: pl.DataFrame, path: Path, schema: InferredSchema) -> list[str]:
    """What is in the table, class by class."""
    labels = table[schema.label].drop_nulls().cast(pl.String).alias("class")
    counts = labels.value_counts().sort("count", "class", descending=[True, False])
    listed = [f"{scalar(name)} {count:,}" for name, count in counts.rows()]
    if len(listed) > SHOWN:
        listed = [*listed[: SHOWN - 1], "…", listed[-1]]
    sizes = counts["count"].to_list()
    ratio = sizes[0] / sizes[-1]
    return [
        f"# A first spec, from looking at {scalar(path.name)}: {len(table):,} rows, {table.width:,} columns.",
        f"# {len(counts)} classes, imbalance ratio {ratio:,.1f}: {', '.join(listed)}.",
    ]


def split_lines(schema: InferredSchema, table: pl.DataFrame) -> list[str]:
    """The `split` key, and why."""
    group = scalar(schema.groups[0]) if schema.groups else ""
    if not schema.split:
        if not group:
            return ["split: {val: 0.1, test: 0.2}  # fractions of each class; or the name of a column"]
        return [f"split: {{val: 0.1, test: 0.2, group: {group}}}  # {group} repeats: its rows stay together"]
    lines = [f"split: {scalar(schema.split)}  # its values are train, val, test"]
    if group:
        parts = table.group_by(schema.groups[0]).agg(pl.col(schema.split).n_unique().alias("parts"))["parts"]
        if (parts > 1).any():
            lines.append(f"# Rows of one {group} are in several parts. If that is a leak, say instead:")
            lines.append(f"# split: {{val: 0.1, test: 0.2, group: {group}}}")
    return lines


def modality_lines(schema: InferredSchema, everything: list[str]) -> list[str]:
    """One line for each modality, names made unique."""
    taken: set[str] = set()
    lines = []
    for column, size in schema.images.items():
        height, width = size
        small = min(size) >= 4 and max(size) < DEFAULT_SIZE
        lines.append(
            f"  {unique(column, taken)}: {{kind: image, column: {scalar(column)}, "
            f"size: {[height, width] if small else DEFAULT_SIZE}}}  # the first: {height} high, {width} wide"
        )
    for column, (steps, n_channels) in schema.series.items():
        if column not in schema.channels:
            what = f"the first: {with_noun(steps, 'step')}, {with_noun(n_channels, 'channel')}"
            lines.append(
                f"  {unique(column, taken)}: {{kind: series, column: {scalar(column)}, "
                f"length: {DEFAULT_LENGTH}}}  # {what}"
            )
    if schema.channels:
        steps, _ = schema.series[schema.channels[0]]
        lines.append(
            f"  {unique('series', taken)}: {{kind: series, columns: {listing(schema.channels)}, "
            f"length: {DEFAULT_LENGTH}}}  # the first: {with_noun(steps, 'step')}"
        )
    for stem, members in schema.families.items():
        exact = (
            scalar(pattern)
            for pattern in (f"{stem}*", f"{stem}[0-9]*")
            if [column for column in everything if fnmatchcase(column, pattern)] == members
        )
        columns = next(exact, listing(members))
        lines.append(
            f"  {unique(stem, taken)}: {{kind: tabular, columns: {columns}}}  # {len(members)} columns"
        )
    if schema.rest:
        lines.append(f"  {unique('tabular', taken)}: {{kind: tabular, columns: {listing(schema.rest)}}}")
    if schema.texts:
        lines.append(f"  {unique('text', taken)}: {{kind: text, columns: {listing(schema.texts)}}}")
    return lines


def left_out_lines(schema: InferredSchema) -> list[str]:
    """Comments on the columns that no modality takes."""
    if not schema.left_out:
        return []
    return ["# Left out:", *(f"#   {scalar(column)}: {why}" for column, why in schema.left_out.items())]


def unique(column: str, taken: set[str]) -> str:
    """A modality's name made of a column's, not taken yet."""
    base = re.sub(r"[^A-Za-z0-9]+", "_", column).strip("_")
    base = base if base[:1].isalpha() and base != "presence" else f"m_{base}".rstrip("_")
    name, number = base, 2
    while name in taken:
        name, number = f"{base}_{number}", number + 1
    taken.add(name)
    return name


def listing(columns: list[str]) -> str:
    """A YAML list."""
    return f"[{', '.join(scalar(column) for column in columns)}]"


def scalar(text: str) -> str:
    """Text as YAML, in quotes only where it needs them."""
    return text if PLAIN.fullmatch(text) and text not in NOT_TEXT else json.dumps(text, ensure_ascii=False)
