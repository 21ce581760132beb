"""Score one shard: the work of a process, or of an actor of Ray."""

import logging
import os
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl
from tailfuse_service.bundle import BundleError, RuntimeName, hash_manifest, open_bundle, sha256

from tailfuse.errors import TableError, UserError
from tailfuse.evaluation.answer_part import count_piece_rows
from tailfuse.files.reading import Reading, make_reading
from tailfuse.files.table import open_table, read_batches
from tailfuse.files.table_writer import open_table_writer
from tailfuse.scoring.answers import Counts, TableScorer
from tailfuse.scoring.journal import ShardRecord
from tailfuse.scoring.shards import ANSWERS_ENDING

MAX_WARNINGS = 10  # of one shard: a warning may be repeated with other numbers for each piece of it

OnRows = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Setup:
    """The objects that a process opens once."""

    bundle: Path
    digest: str  # of the manifest that it must have
    prior: str | Mapping[str, float] | None
    runtime: RuntimeName
    keep: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Task:
    """A shard to score into the file `answers`, unless `target` is what `recorded` says."""

    name: str
    source: Path
    answers: Path
    target: Path
    n_bytes: int  # of the source
    recorded: ShardRecord | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of a shard: its record, or why it failed. A fatal failure will hit all others too."""

    task: Task
    record: ShardRecord | None = None
    kept: bool = False
    failure: str | None = None
    fatal: bool = False
    trace: str | None = None  # of a failure that nobody foresaw


class ShardScorer:
    """An opened bundle that scores shards with one thread. Raises BundleError."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.bundle = open_bundle(setup.bundle, runtime=setup.runtime, threads=1, prior=setup.prior)
        if hash_manifest(self.bundle.manifest) != setup.digest:
            raise BundleError(f"{setup.bundle} was replaced while shards were scored; start again")
        self.reading = make_reading(self.bundle.manifest.spec)

    def score(self, task: Task, on_rows: OnRows) -> Outcome:
        """Score a shard, or find that its answers are there. Whatever is wrong is told by the outcome."""
        try:
            before = read_stamp(task.source)
            digest = sha256(task.source)
            if task.recorded is not None and is_current(task, task.recorded, digest):
                return Outcome(task, replace_source(task.recorded, task.source), kept=True)
        except OSError as error:
            return Outcome(task, failure=f"{task.source}: cannot be read: {error.strerror}")
        try:
            counts, warnings = self.write_answers(task, on_rows)
            if read_stamp(task.source) != before:
                raise TableError(
                    f"{task.source}: was written to while it was read; score again when it is complete"
                )
            output = sha256(task.answers)
        except UserError as error:
            return Outcome(task, failure=name_table(task.source, str(error)))
        except OSError as error:
            why = f"{task.target}: cannot be written: {error.strerror}"
            return Outcome(task, failure=why, fatal=True)
        except Exception as error:
            why = f"{task.source}: {type(error).__name__}: {error}"
            return Outcome(task, failure=why, trace=traceback.format_exc())
        source = str(task.source.resolve())
        record = ShardRecord(
            name=task.name, source=source, input_sha256=digest, output_sha256=output, counts=counts,
            warnings=warnings,
        )  # fmt: skip
        return Outcome(task, record)

    def write_answers(self, task: Task, on_rows: OnRows) -> tuple[Counts, tuple[str, ...]]:
        """Write the answers to a shard; return the counts of its rows, and the warnings. Raises OSError,
        TableError, UserError."""
        scorer = TableScorer(
            self.bundle, task.source.parent, self.reading.missing, self.setup.keep, ANSWERS_ENDING, threads=1
        )
        counts = Counts()
        n_rows = count_piece_rows(self.bundle.manifest.modalities)
        batches = read_shard(task.source, replace(self.reading, missing=()), n_rows)
        with collect_warnings() as warnings, open_table_writer(task.answers) as write:
            for answers in scorer.score(batches, counts):
                write(answers)
                on_rows(len(answers))
            if counts.rows and not (counts.answered or counts.errors):
                logging.getLogger("tailfuse").warning("no row has any modality of this model")
        counts.classes = {name: count for name, count in counts.classes.items() if count}
        return counts, tuple(warnings)


def read_shard(path: Path, reading: Reading, n_rows: int) -> Iterator[pl.DataFrame]:
    """Yield a table in pieces of at most so many rows; one empty piece with its columns if it has none.

    Raises TableError.
    """
    is_empty = True
    for piece in read_batches(path, reading, n_rows):
        is_empty = False
        yield piece
    if is_empty:
        with open_table(path, reading) as frame:
            yield frame.head(0).collect()


def is_current(task: Task, recorded: ShardRecord, digest: str) -> bool:
    """Return whether the answers of an earlier run are those of this input. Raises OSError."""
    return (
        recorded.input_sha256 == digest
        and task.target.is_file()
        and sha256(task.target) == recorded.output_sha256
    )


def name_table(path: Path, message: str) -> str:
    """Put the table in front of a message about a column or an option."""
    return message if message.startswith(str(path)) else f"{path}: {message}"


def replace_source(record: ShardRecord, source: Path) -> ShardRecord:
    """Return the record of the same shard in another place, if it was moved."""
    return record.model_copy(update={"source": str(source.resolve())})


def read_stamp(path: Path) -> tuple[int, int, int]:
    """Return what changes when a file is written to or another takes its place. Raises OSError."""
    stat = os.stat(path)
    return stat.st_size, stat.st_mtime_ns, stat.st_ino


@contextmanager
def collect_warnings() -> Iterator[list[str]]:
    """Yield the list of tailfuse's warnings, each once; the process that shows them is another one."""
    handler = WarningsList()
    logger = logging.getLogger("tailfuse")
    logger.addHandler(handler)
    try:
        yield handler.messages
    finally:
        logger.removeHandler(handler)


class WarningsList(logging.Handler):
    """Keeps up to MAX_WARNINGS different messages."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        if message not in self.messages and len(self.messages) < MAX_WARNINGS:
            self.messages.append(message)
