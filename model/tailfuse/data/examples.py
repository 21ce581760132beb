"""Rows of the test split as requests, which a bundle may carry as the examples of its service's document."""

import json
from collections import Counter
from typing import Any, NamedTuple

import numpy as np
from tailfuse_service.bundle import InvalidInput
from tailfuse_service.modalities import Modality

from tailfuse.data.arrays import has_columns
from tailfuse.data.dataset import load_table
from tailfuse.data.labels import load_labels
from tailfuse.data.split import split_rows
from tailfuse.errors import TableError
from tailfuse.modalities import KINDS
from tailfuse.modalities.files import UnreadableFile
from tailfuse.spec.schema import Spec

MAX_ROWS_READ = 500  # in search of complete rows
MAX_EXAMPLE_BYTES = 64 * 1024  # each is in the document twice, and in every page of /docs


class ExampleRow(NamedTuple):
    """A row as a request, and its class."""

    label: str
    inputs: dict[str, Any]


def read_examples(spec: Spec, modalities: dict[str, Modality], n_examples: int) -> list[ExampleRow]:
    """Return `n_examples` test rows: those with the most modalities first, and of these the classes in turn.

    Raises TableError, also if there are fewer rows.
    """
    if n_examples == 0:
        return []
    table = load_table(spec)
    labels = load_labels(table, spec)
    test = split_rows(table, labels, spec.split, spec.seed).test
    # In an order of its own: tables are often sorted by class.
    rows = np.random.default_rng(spec.seed).permutation(test)[:MAX_ROWS_READ]
    columns = {
        name: KINDS[each.kind].raw_values(name, each, table, rows, spec.table.parent)
        for name, each in modalities.items()
        if has_columns(table, name, each)
    }
    row_labels = [str(label) for label in labels[rows]]
    n_classes = min(len(set(row_labels)), n_examples)
    found: list[ExampleRow] = []
    for label, *values in zip(row_labels, *columns.values(), strict=True):
        inputs = make_inputs(modalities, dict(zip(columns, values, strict=True)))
        if inputs and len(json.dumps(inputs)) <= MAX_EXAMPLE_BYTES:
            found.append(ExampleRow(label, inputs))
        complete = [each.label for each in found if len(each.inputs) == len(modalities)]
        if len(complete) >= n_examples and len(set(complete)) >= n_classes:
            break
    found = take_classes_in_turn(found)
    if len(found) < n_examples:
        raise TableError(
            f"--examples {n_examples}: of the first {len(rows):,} test rows only {len(found)} have values of "
            f"at most {MAX_EXAMPLE_BYTES:,} bytes"
        )
    return found[:n_examples]


def take_classes_in_turn(rows: list[ExampleRow]) -> list[ExampleRow]:
    """Return rows, those with the most modalities first; of these, one of each class before a second one."""
    counts: Counter[tuple[int, str]] = Counter()
    keys = []
    for row in rows:
        key = len(row.inputs), row.label
        keys.append((-len(row.inputs), counts[key]))
        counts[key] += 1
    order = sorted(range(len(rows)), key=keys.__getitem__)
    return [rows[at] for at in order]


def make_inputs(modalities: dict[str, Modality], values: dict[str, Any]) -> dict[str, Any]:
    """Return the inputs of one row as JSON, without the modalities that it does not have."""
    inputs = {}
    for name, raw in values.items():
        if raw is None or isinstance(raw, UnreadableFile):
            continue
        value = KINDS[modalities[name].kind].example_value(modalities[name], raw)
        if value is not None and has_content(name, modalities[name], value):
            inputs[name] = value
    return inputs


def has_content(name: str, modality: Modality, value: Any) -> bool:
    """Return whether a service takes a value, and does not count it as missing."""
    try:
        return modality.features(name).apply(value) is not None
    except InvalidInput:
        return False
