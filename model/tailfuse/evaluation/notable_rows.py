"""The rows that a report shows: the hardest, the most conflicted, and those probably mislabelled.

Letters: N rows, C classes.
"""

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from tailfuse_service.bundle import Manifest

from tailfuse.data.split_arrays import SplitArrays
from tailfuse.evaluation.evaluate import Evaluation
from tailfuse.evaluation.label_issues import find_label_issues
from tailfuse.evaluation.metrics import Counts, FloatArray
from tailfuse.modalities import KINDS
from tailfuse.modalities.preview import Preview

MAX_ROWS = 8  # of each kind
MIN_CONFLICT = 0.5  # a row of less is in no conflict worth a look


@dataclass(frozen=True, slots=True)
class Answered:
    """Rows and their probabilities by networks that were not trained on them."""

    source: str  # of the rows, such as "test"
    part: SplitArrays
    probabilities: FloatArray  # (N, C)


@dataclass(frozen=True, slots=True)
class NotableRow:
    """A row of the table, and what the model says of it. `content` is by modality, empty if not shown."""

    number: int | None  # in the table, from 1
    source: str
    label: str
    label_probability: float
    answer: str
    answer_probability: float
    conflict: float | None
    content: dict[str, Preview]

    def image_uri(self, name: str) -> str:
        """Return a modality's image as a data URI, or an empty string."""
        png = self.content[name].png
        return f"data:image/png;base64,{base64.b64encode(png).decode()}" if png else ""


@dataclass(frozen=True, slots=True)
class NotableRows:
    """The rows of each kind, and of how many they are the first."""

    hardest: Sequence[NotableRow] = ()
    n_wrong: int = 0
    conflicted: Sequence[NotableRow] = ()
    n_conflicted: int = 0
    mislabelled: Sequence[NotableRow] = ()
    n_mislabelled: int = 0
    n_checked: int = 0  # rows whose label was checked
    with_content: bool = False


def find_notable_rows(
    manifest: Manifest,
    part: SplitArrays,
    evaluation: Evaluation,
    others: Sequence[Answered],
    source: str,
    table: Callable[[], pl.DataFrame] | None,
) -> NotableRows:
    """Find the rows of an evaluated part, and among `others` more rows with a wrong label.

    `table` reads the table of all rows; it is called if there is a row to show. Without it the values of the
    rows are left out.
    """
    answered = Answered(source, part, evaluation.given.probabilities)
    hardest = find_hardest(answered)
    conflicted = find_conflicted(evaluation)
    pool = [each for each in (answered, *others) if len(each.part)]
    sizes = [len(each.part) for each in pool]
    suspects: Counts = np.zeros(0, np.int64)
    if pool:
        suspects = find_label_issues(
            np.concatenate([each.part.labels for each in pool]),
            np.concatenate([each.probabilities for each in pool]),
        )
    if not any(map(len, (hardest, conflicted, suspects))):
        return NotableRows(n_checked=sum(sizes))
    show = RowReader(manifest, None if table is None else table()).show
    starts = np.cumsum([0, *sizes])
    mislabelled = []
    for at in suspects[:MAX_ROWS]:
        which = int(np.searchsorted(starts, at, side="right")) - 1
        mislabelled.append(show(pool[which], int(at - starts[which])))
    conflicts = evaluation.given.conflict
    return NotableRows(
        hardest=[show(answered, int(at)) for at in hardest[:MAX_ROWS]],
        n_wrong=len(hardest),
        conflicted=[
            show(answered, int(at), None if conflicts is None else float(conflicts[at]))
            for at in conflicted[:MAX_ROWS]
        ],
        n_conflicted=len(conflicted),
        mislabelled=mislabelled,
        n_mislabelled=len(suspects),
        n_checked=sum(sizes),
        with_content=table is not None,
    )


def find_hardest(answered: Answered) -> Counts:
    """Return the rows with a wrong answer, those whose own class is least probable first."""
    labels, probabilities = answered.part.labels, answered.probabilities
    wrong = np.flatnonzero(probabilities.argmax(axis=1) != labels)
    return wrong[np.argsort(probabilities[wrong, labels[wrong]], kind="stable")]


def find_conflicted(evaluation: Evaluation) -> Counts:
    """Return the rows with a conflict, the most probable first; none in older bundles."""
    conflict = evaluation.given.conflict
    if conflict is None:
        return np.zeros(0, np.int64)
    several = (evaluation.alone >= 0).sum(axis=1) > 1  # one modality has nothing to be in conflict with
    at = np.flatnonzero(several & (conflict >= MIN_CONFLICT))
    return at[np.argsort(-conflict[at], kind="stable")]


class RowReader:
    """Reads what a report shows of a row from its arrays and its table; without a table no values."""

    def __init__(self, manifest: Manifest, table: pl.DataFrame | None) -> None:
        self._manifest, self._table = manifest, table

    def show(self, answered: Answered, at: int, conflict: float | None = None) -> NotableRow:
        """Return what is shown of a row, by its position in the part."""
        part, probabilities = answered.part, answered.probabilities[at]
        label, answer = int(part.labels[at]), int(probabilities.argmax())
        row = None if part.rows is None else int(part.rows[at])
        names = self._manifest.class_names
        return NotableRow(
            number=None if row is None else row + 1,
            source=answered.source,
            label=names[label],
            label_probability=float(probabilities[label]),
            answer=names[answer],
            answer_probability=float(probabilities[answer]),
            conflict=conflict,
            content=self._read_content(part, at, row),
        )

    def _read_content(self, part: SplitArrays, at: int, row: int | None) -> dict[str, Preview]:
        """Return the preview of each modality that the row has."""
        content: dict[str, Preview] = {}
        if self._table is None:
            return content
        for name, modality in self._manifest.modalities.items():
            position = part.position[name][at]
            if position < 0:
                continue
            wanted = [column for column in modality.column_names if column in self._table.columns]
            cells = {} if row is None else {column: self._table[column][row] for column in wanted}
            content[name] = KINDS[modality.kind].preview(modality, cells, part.inputs[name][position])
        return content
