"""Answer a table piece by piece, so that memory does not grow with its rows."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from tailfuse_service.bundle import Bundle, Manifest
from tailfuse_service.bundle.answer import DIGITS

from tailfuse.data.arrays import make_split_arrays
from tailfuse.evaluation.answer_part import Answers, answer_part, count_piece_rows
from tailfuse.files.table import normalise
from tailfuse.scoring.kept_columns import check_storable, name_kept_columns
from tailfuse.scoring.missing_columns import find_missing_columns


@dataclass(slots=True)
class Counts:
    """Counts of the rows by outcome; `classes` are the answered rows by label."""

    rows: int = 0
    answered: int = 0
    without_modality: int = 0
    errors: int = 0
    classes: dict[str, int] = field(default_factory=dict)
    first_error: str | None = None  # with its row

    def as_json(self) -> dict[str, Any]:
        """Return the counts as plain JSON."""
        return asdict(self)

    def add(self, other: "Counts") -> None:
        """Add the rows of another table; the first error stays that of the first table that has one."""
        self.rows += other.rows
        self.answered += other.answered
        self.without_modality += other.without_modality
        self.errors += other.errors
        for name, count in other.classes.items():
            self.classes[name] = self.classes.get(name, 0) + count
        self.first_error = self.first_error or other.first_error


@dataclass(frozen=True, slots=True)
class TableScorer:
    """Answers the rows of tables whose files lie in `folder`.

    `missing` are the texts that are missing in the model's columns; kept columns keep them.
    """

    bundle: Bundle
    folder: Path
    missing: Sequence[str] = ()
    keep: Sequence[str] = ()
    ending: str = ".csv"  # of the file that the answers go to
    threads: int | None = None  # that decode images; None: as many as cores

    def score(self, batches: Iterable[pl.DataFrame], counts: Counts) -> Iterator[pl.DataFrame]:
        """Yield the answers to each piece of a table, and count its rows in `counts`. Raises TableError."""
        manifest = self.bundle.manifest
        answers = list(answer_schema(manifest))
        n_rows = count_piece_rows(manifest.modalities)
        counts.classes = dict.fromkeys(manifest.class_names, 0)
        lacking: list[str] | None = None
        names: dict[str, str] = {}
        for batch in batches:
            if lacking is None:
                wanted = {name: each.column_names for name, each in manifest.modalities.items()}
                lacking = find_missing_columns(batch.columns, wanted)
                names = name_kept_columns(batch, self.keep, answers)
                check_storable(batch, list(names), self.ending)
            read = normalise(batch.lazy(), self.missing).collect()
            read = read.with_columns(pl.lit(None).alias(column) for column in lacking)
            for start in range(0, max(len(batch), 1), n_rows):  # an empty table has empty answers
                piece = self.score_piece(read[start : start + n_rows], counts)
                kept = batch[start : start + n_rows].select(list(names)).rename(names)
                yield pl.concat([piece.select("row"), kept, piece.drop("row")], how="horizontal")

    def score_piece(self, table: pl.DataFrame, counts: Counts) -> pl.DataFrame:
        """Return the answers to consecutive rows, which are counted on from `counts`. Raises TableError."""
        first, n_rows = counts.rows, len(table)
        errors: dict[int, str] = {}
        arrays = make_split_arrays(
            table, self.bundle.manifest.modalities, self.folder, errors=errors, threads=self.threads
        )
        if errors:
            row = min(errors)
            counts.first_error = counts.first_error or f"row {first + row + 1}: {errors[row]}"
        readable = np.ones(n_rows, np.bool_)
        readable[list(errors)] = False
        answers = answer_part(self.bundle, arrays.keep(readable))
        counts.rows += n_rows
        counts.errors += len(errors)
        counts.without_modality += len(answers.find_unanswered()) - len(errors)
        told = np.full(n_rows, None, object)
        told[list(errors)] = list(errors.values())
        return make_answers(self.bundle.manifest, first, answers, told.tolist(), counts)


def answer_schema(manifest: Manifest) -> dict[str, type[pl.DataType]]:
    """Return the columns of the answers."""
    numbers = ["probability", *(f"probability.{name}" for name in manifest.class_names)]
    for name in manifest.modalities:
        numbers += [f"weight.{name}", f"confidence.{name}"]
    numbers.append("conflict")
    return {"row": pl.Int64, "label": pl.String, **dict.fromkeys(numbers, pl.Float64), "error": pl.String}


def make_answers(
    manifest: Manifest, first: int, answers: Answers, errors: list[str | None], counts: Counts
) -> pl.DataFrame:
    """Return a line for each row, NaN as null, rounded as POST /predict does; count its labels."""
    probabilities, weights, confidences, conflict = answers
    answered = np.flatnonzero(~np.isnan(probabilities[:, 0]))
    best = probabilities[answered].argmax(axis=1)
    label = np.full(len(errors), None, object)
    label[answered] = np.array(manifest.class_names, object)[best]
    counts.answered += len(answered)
    for name, count in zip(
        manifest.class_names, np.bincount(best, minlength=len(manifest.classes)), strict=True
    ):
        counts.classes[name] += int(count)
    probability = np.full(len(errors), np.nan)
    probability[answered] = probabilities[answered].max(axis=1)
    columns: list[Any] = [np.arange(len(errors)) + first + 1, label.tolist(), probability, *probabilities.T]
    for at in range(len(manifest.modalities)):
        columns += [weights[:, at], confidences[:, at]]
    columns.append(conflict)
    schema = answer_schema(manifest)
    table = pl.DataFrame(dict(zip(schema, [*columns, errors], strict=True)), schema=schema)
    return table.with_columns(pl.col(pl.Float64).round(DIGITS).fill_nan(None))
