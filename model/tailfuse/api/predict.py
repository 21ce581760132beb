"""Answer the rows of a table of any size into a file."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from tailfuse_service.bundle import Bundle, RuntimeName

from tailfuse.api.model import Model, open_model
from tailfuse.errors import UserError
from tailfuse.files.output import check_ending, check_output
from tailfuse.files.reading import make_reading
from tailfuse.files.table import read_batches
from tailfuse.files.table_writer import open_table_writer
from tailfuse.scoring.answers import Counts, TableScorer


def predict(
    bundle: str | Path | Model,
    table: str | Path,
    out: str | Path | None = None,
    *,
    keep: str | Iterable[str] = (),
    overwrite: bool = False,
    prior: str | Mapping[str, float] | None = None,
    runtime: RuntimeName = "onnx",
    on_rows: Callable[[int], None] = lambda _: None,
) -> Counts:
    r"""Write a line for each row of a table: label, probabilities, weights, confidences, conflict, error.

    The table is read, answered and written in pieces, so memory does not grow with its rows. `out` ends in
    .csv, .parquet or .jsonl; None prints CSV. `keep` are columns to copy: names, patterns or "all". `on_rows`
    is called with the number of rows that were answered since its last call. Raises UserError, and leaves no
    file behind then.

    >>> _ = Path("notes.csv").write_text("review\na dark spot\nitchy\n")
    >>> counts = tailfuse.predict("bundle", "notes.csv", "answers.csv")
    >>> counts.rows, counts.errors
    (2, 0)
    """
    source, target = Path(table), None if out is None else Path(out)
    check_output(target, overwrite, sources=[source])
    check_ending(target)
    opened = open_model(bundle, prior=prior, runtime=runtime).bundle
    reading = make_reading(opened.manifest.spec)
    columns = [keep] if isinstance(keep, str) else list(keep)
    ending = ".csv" if target is None else target.suffix.lower()
    scorer = TableScorer(opened, source.parent, reading.missing, columns, ending)
    counts = Counts()
    try:
        with open_table_writer(target) as write:
            for answers in scorer.score(read_batches(source, replace(reading, missing=())), counts):
                write(answers)
                on_rows(len(answers))
            check_answered(counts, source, opened)
    except OSError as error:
        if target is None:
            raise
        raise UserError(f"{target}: cannot be written: {error.strerror}") from None
    return counts


def check_answered(counts: Counts, path: Path, bundle: Bundle) -> None:
    """Raises UserError if there is nothing to answer."""
    if not counts.rows:
        raise UserError(f"{path}: the table has no rows")
    if not (counts.answered or counts.errors):
        known = ", ".join(bundle.manifest.modalities)
        raise UserError(f"{path}: no row has any modality of this model: {known}")
