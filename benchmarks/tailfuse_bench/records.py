"""The measurements of a run, one per row, and their two tables on disk."""

import csv
import io
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from tailfuse_service.bundle import write_atomically

RESULTS, RELIABILITY = "results.csv", "reliability.csv"


class Result(NamedTuple):
    """One measurement; fields that do not apply are None. The names are the columns of results.csv.

    `ir` is 0 if the dataset keeps its class frequencies. `condition` is clean, cost, a corruption of
    `modality`, a shift of the class frequencies, or `missing_30`: 30 % of the modalities removed from
    training and test rows.
    """

    set: str
    ir: int
    seed: int
    method: str
    subset: str = ""
    condition: str = "clean"
    modality: str = ""
    level: float | None = None
    rows: int | None = None
    balanced_accuracy: float | None = None
    macro_f1: float | None = None
    accuracy: float | None = None
    many: float | None = None
    medium: float | None = None
    few: float | None = None
    nll: float | None = None
    ece: float | None = None
    weight: float | None = None
    auroc: float | None = None
    parameters: int | None = None
    train_seconds: float | None = None
    predict_microseconds: float | None = None
    # Of clean rows; not in results of before there was a debiased error.
    ece_debiased: float | None = None
    ece_low: float | None = None
    ece_high: float | None = None
    size_bytes: int | None = None  # on disk, without frozen encoders; not in older results


DEBIASED = ("ece_debiased", "ece_low", "ece_high")
NEW_COLUMNS = (*DEBIASED, "size_bytes")  # which older results.csv lack


class Bin(NamedTuple):
    """One reliability bin of the top label's probability."""

    set: str
    ir: int
    seed: int
    method: str
    subset: str
    bin_rows: int
    confidence: float
    accuracy: float


def write_tables(out: Path, results: Iterable[Result], bins: Iterable[Bin]) -> None:
    """Write results.csv and reliability.csv in `out` atomically."""
    write_table(out / RESULTS, Result._fields, results)
    write_table(out / RELIABILITY, Bin._fields, bins)


def write_table(path: Path, header: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
    """Write one table; None becomes an empty cell, and numbers have six digits."""
    text = io.StringIO(newline="")
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(header)
    lines.writerows(map(round_numbers, rows))
    write_atomically(path, text.getvalue())


def round_numbers(row: Iterable[object]) -> list[object]:
    """Round floats to six digits."""
    return [f"{value:.6g}" if isinstance(value, float) else value for value in row]
