"""The rows of an experiment: its table with the imbalance and the missing modalities, as arrays and texts."""

from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
from tailfuse.data.dataset import load_table, make_dataset
from tailfuse.data.imbalance import impose_imbalance
from tailfuse.data.labels import load_labels
from tailfuse.data.split import Split, split_rows
from tailfuse.data.split_arrays import Dataset
from tailfuse.errors import RunError
from tailfuse.files.table import Rows
from tailfuse.modalities import KINDS
from tailfuse.spec.schema import Spec
from tailfuse_service.modalities import TextModality

from tailfuse_bench.datasets import ORIGINAL_IR
from tailfuse_bench.missing import find_columns, remove_modalities
from tailfuse_bench.tasks import Experiment

PARTS = ("train", "val", "test")
Texts = dict[str, dict[str, list[str | None]]]  # by part and modality


class LoadedRows(NamedTuple):
    """Rows as arrays, and the raw texts of the modalities that have some, None where one is missing."""

    dataset: Dataset
    texts: Texts


def load_rows(spec: Spec, experiment: Experiment) -> LoadedRows:
    """Load an experiment's rows. The last result is cached for the next task. Raises UserError."""
    return load_cached_rows(spec.model_dump_json(), experiment)


@lru_cache(maxsize=1)
def load_cached_rows(spec_json: str, experiment: Experiment) -> LoadedRows:
    """Load rows as load_rows does; JSON makes the spec a valid key of the cache."""
    spec = Spec.model_validate_json(spec_json)
    table = load_table(spec)
    labels = load_labels(table, spec)
    split = split_rows(table, labels, spec.split, spec.seed)
    if experiment.ir != ORIGINAL_IR:
        split = impose_imbalance(split, labels, experiment.ir, spec.seed)
    if experiment.missing:
        columns = find_columns(spec, table)
        table = remove_modalities(table, columns, split, experiment.missing, spec.seed)
    dataset = make_dataset(spec, table, labels, split)
    return LoadedRows(dataset, collect_texts(spec, table, split, dataset))


def collect_texts(spec: Spec, table: pl.DataFrame, split: Split, dataset: Dataset) -> Texts:
    """Return the raw texts of the dataset's rows. Raises RunError if a row was left out of the dataset."""
    texts: Texts = {part: {} for part in PARTS}
    for name, modality in dataset.modalities.items():
        if not isinstance(modality, TextModality):
            continue
        for part in PARTS:
            rows = np.sort(getattr(split, part))
            found = read_texts(name, modality, table, rows, spec.table.parent)
            if len(found) != len(getattr(dataset, part)):
                raise RunError(f"{spec.table}: a row of {part} has no modality; leave it out of the table")
            texts[part][name] = found
    return texts


def read_texts(
    name: str, modality: TextModality, table: pl.DataFrame, rows: Rows, folder: Path
) -> list[str | None]:
    """Return one text for each row, made of all columns of the modality; None where there is none."""
    join = modality.features(name).join
    values = KINDS["text"].raw_values(name, modality, table, rows, folder)
    return [None if value is None else join(value) for value in values]
