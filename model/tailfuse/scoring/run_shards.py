"""Score shards into an output folder: what an earlier run finished is kept, and a run that is killed goes on.

Only this process puts files in their places and notes them, one at a time: the manifest first, then the
answers. A shard that is noted but not in its place is scored again.
"""

import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tailfuse_service.bundle import sha256

from tailfuse.errors import RunError, UserError
from tailfuse.files.lock import FolderInUse, lock_folder
from tailfuse.scoring.estimate_rows import Plan, make_plan
from tailfuse.scoring.journal import Journal, Settings, open_journal
from tailfuse.scoring.score_shard import Outcome, Setup, Task
from tailfuse.scoring.scoring import Scoring
from tailfuse.scoring.shards import Shard

PARTIAL = ".partial"  # the folder of answers that are not complete, in the output folder

Run = Callable[[Setup, Sequence[Task]], Iterator[int | Outcome]]
# Called with the plan; then with numbers of rows that were answered, and shards.
OnProgress = Callable[[Plan | int | Outcome], None]


def run_shards(
    shards: Sequence[Shard], out: Path, setup: Setup, settings: Settings, run: Run, *, overwrite: bool,
    on_progress: OnProgress,
) -> Scoring:  # fmt: skip
    """Score the shards into `out`. Raises UserError if answers cannot be written, BundleError, OSError."""
    start = time.perf_counter()
    with hold_output(out) as partial:
        journal = open_journal(out, settings, overwrite)
        tasks = plan_tasks(shards, journal, partial, overwrite)
        scoring = Scoring([task.name for task in tasks])
        scoring.other_shards = len(journal.records.keys() - set(scoring.names))
        # The largest first: otherwise it might begin when all others are done.
        tasks.sort(key=lambda task: -task.n_bytes)
        journal.start()
        try:
            on_progress(make_plan(tasks))
            for event in run(setup, tasks):
                if isinstance(event, Outcome):
                    finish_shard(event, journal, scoring)
                on_progress(event)
        finally:
            journal.close()
    scoring.finish(out, time.perf_counter() - start)
    return scoring


@contextmanager
def hold_output(out: Path) -> Iterator[Path]:
    """Make the output folder and hold it; yield an empty folder in it for answers that are not complete.

    Raises RunError if another process holds it, UserError for an error of the system.
    """
    if out.exists() and not out.is_dir():
        raise UserError(f"--out {out}: is not a folder; the answers to each input are a file in it")
    partial = out / PARTIAL
    try:
        with lock_folder(out):
            shutil.rmtree(partial, ignore_errors=True)  # of a run that was killed
            partial.mkdir()
            try:
                yield partial
            finally:
                shutil.rmtree(partial, ignore_errors=True)
    except FolderInUse:
        raise RunError(f"{out}: another tailfuse score is writing to this folder") from None
    except OSError as error:
        what = error.filename or f"{out}: cannot be written"
        raise UserError(f"{what}: {error.strerror}") from None


def plan_tasks(shards: Sequence[Shard], journal: Journal, partial: Path, overwrite: bool) -> list[Task]:
    """Return a task for each shard.

    Raises UserError if answers would replace another file, or those to another input.
    """
    tasks = []
    for at, shard in enumerate(shards):
        target, recorded = journal.folder / shard.name, journal.records.get(shard.name)
        if not overwrite:
            if target.exists() and recorded is None:
                raise UserError(f"{target}: exists already; --overwrite replaces it")
            if recorded is not None and is_other_input(shard, recorded.source, recorded.input_sha256):
                raise UserError(
                    f"{target}: holds the answers to {recorded.source}, not to {shard.source}; choose "
                    "another --out, or score all again with --overwrite"
                )
        answers, n_bytes = partial / f"{at}.parquet", shard.source.stat().st_size
        tasks.append(Task(shard.name, shard.source, answers, target, n_bytes, recorded))
    return tasks


def is_other_input(shard: Shard, source: str, digest: str) -> bool:
    """Return whether a shard is neither the file at `source`, which may have changed, nor a copy of it."""
    return str(shard.source.resolve()) != source and sha256(shard.source) != digest


def finish_shard(outcome: Outcome, journal: Journal, scoring: Scoring) -> None:
    """Note a shard and put its answers in their place. Raises UserError after a fatal failure, OSError."""
    task, record = outcome.task, outcome.record
    if record is None:
        if outcome.fatal:
            raise UserError(
                f"{outcome.failure}; finished shards are kept, and the same command goes on with the others"
            )
        still = f"; {task.target} still has earlier answers" if task.target.exists() else ""
        scoring.add_failure(task.name, f"{outcome.failure}{still}", outcome.trace)
        return
    if record != task.recorded:
        journal.append(record)
    if not outcome.kept:
        task.target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(task.answers, task.target)
    scoring.add_record(record, outcome.kept)
