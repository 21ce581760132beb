"""A first spec for an unknown table: YAML with comments that say what was guessed, and why."""

import json
import os
import re
from fnmatch import fnmatchcase
from pathlib import Path

import polars as pl
from tailfuse_service.modalities.series.features import with_noun

from tailfuse.data.classes import read_labels
from tailfuse.data.infer_schema import InferredSchema, infer_schema
from tailfuse.errors import TableError
from tailfuse.files.reading import DEFAULT_READING, Reading
from tailfuse.files.table import read_table
from tailfuse.spec.schema import RESERVED_NAMES

PLAIN = re.compile(r"[A-Za-z0-9_./][A-Za-z0-9_./-]*")
# Control characters, line ends that only Unicode has, the byte order mark, and what is no character at all.
UNSAFE = re.compile(r"[\x00-\x1f\x7f-\xa0\u2028\u2029\ufeff\ufffe\uffff]")
DEFAULT_SIZE = 64
DEFAULT_LENGTH = 256
NOT_TEXT = ("null", "Null", "NULL")
MAX_CLASSES = 10  # in the header
MAX_REASONS = 30  # in the message that no column is left


def scaffold_spec(
    table_path: Path,
    folder: Path = Path(),
    label: str | None = None,
    reading: Reading = DEFAULT_READING,
) -> str:
    """Return the text of a spec that lies in `folder`, with this label or an inferred one.

    What `reading` says of the table's separator, decimals and encoding is in the spec, too.

    Raises TableError.
    """
    table = read_table(table_path, reading)
    try:
        schema = infer_schema(table, table_path.parent, label, reading.decimal)
    except TableError as error:
        raise TableError(f"{table_path}: {error}") from None
    modalities = make_modality_lines(schema, table.columns)
    if not modalities:
        raise TableError(f"{table_path}: {describe_nothing_left(schema)}")
    name = table_path.resolve().parent.name if table_path.stem == "table" else table_path.name.split(".")[0]
    lines = [
        *make_header(table, table_path, schema),
        f"name: {quote_scalar(re.sub(r'[^a-z0-9]+', '-', name.lower()).strip('-') or 'model')}",
        f"table: {quote_scalar(Path(os.path.relpath(table_path, folder)).as_posix())}",
        *(
            f"{key}: {json.dumps(value)}"
            for key in ("separator", "decimal", "encoding")
            if (value := getattr(reading, key)) is not None
        ),
        f"label: {quote_scalar(schema.label)}" + ("" if schema.label_is_sure else "  # a guess: check it"),
        *make_split_lines(schema, table),
        "modalities:",
        *modalities,
        *make_left_out_lines(schema),
    ]
    return "\n".join(lines) + "\n"


def describe_nothing_left(schema: InferredSchema) -> str:
    """Return why there is no column to learn from, column by column."""
    reasons = [f"  {column}: {why}" for column, why in schema.left_out.items()]
    if len(reasons) > MAX_REASONS:
        reasons = [*reasons[:MAX_REASONS], f"  and {len(reasons) - MAX_REASONS:,} more"]
    ending = ":" if reasons else ""
    return "\n".join([f"no column is left to learn from beside '{schema.label}'{ending}", *reasons])


def make_header(table: pl.DataFrame, path: Path, schema: InferredSchema) -> list[str]:
    """Return what is in the table, class by class."""
    labels = read_labels(table, schema.label)
    counts = labels.drop_nulls().alias("class").value_counts()
    counts = counts.sort("count", "class", descending=[True, False])
    shown = [f"{quote_scalar(name)} {count:,}" for name, count in counts.rows()]
    if len(shown) > MAX_CLASSES:
        shown = [*shown[: MAX_CLASSES - 1], "…", shown[-1]]
    sizes = counts["count"].to_list()
    lines = [
        f"# A first spec, from looking at {quote_scalar(path.name)}: "
        f"{len(table):,} rows, {table.width:,} columns.",
        f"# {len(counts)} classes, imbalance ratio {sizes[0] / sizes[-1]:,.1f}: {', '.join(shown)}.",
    ]
    if labels.null_count():
        lines.append(f"# Rows without a label are skipped; there are {labels.null_count():,}.")
    if single := sizes.count(1):
        lines.append(
            f"# Classes with one row cannot be evaluated; there are {single:,}. "
            "The key `min_rows: 2` merges them."
        )
    return lines


def make_split_lines(schema: InferredSchema, table: pl.DataFrame) -> list[str]:
    """Return the `split` key, and why."""
    group = quote_scalar(schema.groups[0]) if schema.groups else ""
    if not schema.split:
        if not group:
            return ["split: {val: 0.1, test: 0.2}  # fractions of each class; or the name of a column"]
        return [f"split: {{val: 0.1, test: 0.2, group: {group}}}  # {group} repeats: its rows stay together"]
    lines = [f"split: {quote_scalar(schema.split)}  # its values are train, val, test"]
    if group:
        parts = table.group_by(schema.groups[0]).agg(pl.col(schema.split).n_unique().alias("parts"))["parts"]
        if (parts > 1).any():
            lines.append(f"# Rows of one {group} are in several parts. If that is a leak, say instead:")
            lines.append(f"# split: {{val: 0.1, test: 0.2, group: {group}}}")
    return lines


def make_modality_lines(schema: InferredSchema, everything: list[str]) -> list[str]:
    """Return a line for each modality, with unique names."""
    taken: set[str] = set()
    lines = []
    for column, size in schema.images.items():
        height, width = size
        small = min(size) >= 4 and max(size) < DEFAULT_SIZE
        lines.append(
            f"  {make_unique(column, taken)}: {{kind: image, column: {quote_scalar(column)}, "
            f"size: {[height, width] if small else DEFAULT_SIZE}}}  # the first: {height} high, {width} wide"
        )
    for column, (steps, n_channels) in schema.series.items():
        if column not in schema.channels:
            what = f"the first: {with_noun(steps, 'step')}, {with_noun(n_channels, 'channel')}"
            lines.append(
                f"  {make_unique(column, taken)}: {{kind: series, column: {quote_scalar(column)}, "
                f"length: {DEFAULT_LENGTH}}}  # {what}"
            )
    if schema.channels:
        steps, _ = schema.series[schema.channels[0]]
        lines.append(
            f"  {make_unique('series', taken)}: {{kind: series, columns: {quote_list(schema.channels)}, "
            f"length: {DEFAULT_LENGTH}}}  # the first: {with_noun(steps, 'step')}"
        )
    for stem, members in schema.families.items():
        exact = (
            quote_scalar(pattern)
            for pattern in (f"{stem}*", f"{stem}[0-9]*")
            if [column for column in everything if fnmatchcase(column, pattern)] == members
        )
        columns = next(exact, quote_list(members))
        lines += make_tabular_lines(
            make_unique(stem, taken), columns, members, schema, f"  # {len(members)} columns"
        )
    if schema.rest:
        columns = quote_list(schema.rest)
        lines += make_tabular_lines(make_unique("tabular", taken), columns, schema.rest, schema)
    if schema.texts:
        lines.append(f"  {make_unique('text', taken)}: {{kind: text, columns: {quote_list(schema.texts)}}}")
    return lines


def make_tabular_lines(
    name: str, columns: str, members: list[str], schema: InferredSchema, comment: str = ""
) -> list[str]:
    """Return a tabular modality, with the type of each column where it was a close call, and why it was."""
    calls = {column: schema.close_calls[column] for column in members if column in schema.close_calls}
    keys = ["kind: tabular", f"columns: {columns}"]
    if calls:
        types = ", ".join(f"{quote_scalar(column)}: {call.type}" for column, call in calls.items())
        keys.append(f"types: {{{types}}}")
    if any(call.odd_row is not None for call in calls.values()):
        keys.append("unreadable: missing")
    lines = [f"  {name}: {{{', '.join(keys)}}}{comment}"]
    for column, call in calls.items():
        odd = "" if call.odd_row is None else "; such cells are taken as missing (`unreadable`)"
        lines.append(f"  # {quote_scalar(column)} is read as a {call.type}: {escape(call.note or '')}{odd}")
    return lines


def make_left_out_lines(schema: InferredSchema) -> list[str]:
    """Return comments on the columns that no modality takes."""
    if not schema.left_out:
        return []
    return [
        "# Left out:",
        *(
            # A value that is quoted may have a line break, which would end the comment.
            f"#   {quote_scalar(column)}: {escape(' '.join(why.split()))}"
            for column, why in schema.left_out.items()
        ),
    ]


def make_unique(column: str, taken: set[str]) -> str:
    """Return a modality's name made of a column's, not taken yet."""
    base = re.sub(r"[^A-Za-z0-9]+", "_", column).strip("_")
    base = base if base[:1].isalpha() and base not in RESERVED_NAMES else f"m_{base}".rstrip("_")
    name, number = base, 2
    while name in taken:
        name, number = f"{base}_{number}", number + 1
    taken.add(name)
    return name


def quote_list(columns: list[str]) -> str:
    """Return names as a YAML list."""
    return f"[{', '.join(quote_scalar(column) for column in columns)}]"


def quote_scalar(text: str) -> str:
    """Return text as YAML, in quotes only where it needs them."""
    if PLAIN.fullmatch(text) and text not in NOT_TEXT:
        return text
    return escape(json.dumps(text, ensure_ascii=False))


def escape(text: str) -> str:
    """Return text with the characters escaped that YAML takes for line ends, or refuses even in a comment."""
    return UNSAFE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)
