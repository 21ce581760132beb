"""What the bench measures, one record a row, and its two tables on disk."""

import csv
import io
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from tailfuse_service.bundle import write_atomically

RESULTS, RELIABILITY = "results.csv", "reliability.csv"


class Result(NamedTuple):
    """One measurement; what does not apply is None. `ir` is 0 where the set keeps its own tail.

    `condition` is clean, cost, the name of a damage to `modality`, or of a shift of the classes.
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


class Bin(NamedTuple):
    """A bin of the top label's probability."""

    set: str
    ir: int
    seed: int
    method: str
    subset: str
    bin_rows: int
    confidence: float
    accuracy: float


def write_tables(out: Path, results: Iterable[Result], bins: Iterable[Bin]) -> None:
    """results.csv and reliability.csv in `out`, each whole or not at all."""
    write_table(out / RESULTS, Result._fields, results)
    write_table(out / RELIABILITY, Bin._fields, bins)


def write_table(path: Path, header: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
    """None is an empty cell; numbers have six digits."""
    text = io.StringIO(newline="")
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(header)
    lines.writerows(map(rounded, rows))
    write_atomically(path, text.getvalue())


def rounded(row: Iterable[object]) -> list[object]:
    """Six digits of every number that is not whole."""
    return [f"{value:.6g}" if isinstance(value, float) else value for value in row]
