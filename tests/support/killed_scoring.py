"""Scorings that are killed at given moments, and gone on with. A program for test_score_killed.py.

Every scoring is a process of its own, forked from this one. A kill is SIGKILL at a place in the code.
"""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import tailfuse
from tailfuse.api import score as api
from tailfuse.evaluation import answer_part
from tailfuse.scoring import answers, run_shards
from tailfuse.scoring.journal import Journal, ShardRecord, make_line

from tests.support.killed_runs import die, forked
from tests.support.scoring import run_here


def before_second(place: Any, name: str) -> Callable[[], None]:
    """When a function is called for the second time."""

    def arrange() -> None:
        function, calls = getattr(place, name), iter(range(1, 1000))

        def counted(*arguments: Any, **options: Any) -> Any:
            return die() if next(calls) == 2 else function(*arguments, **options)

        mock.patch.object(place, name, counted).start()

    return arrange


def before_manifest() -> None:
    """When nothing is written yet."""
    mock.patch.object(Journal, "start", die).start()


def in_second_line() -> None:
    """When half of the line about the second shard is in the manifest."""
    append = Journal.append

    def cut(journal: Journal, record: ShardRecord) -> None:
        if not journal.records:
            return append(journal, record)
        with journal.path.open("ab") as file:
            file.write(make_line(record)[:40])
        die()

    mock.patch.object(Journal, "append", cut).start()


def before_second_place() -> None:
    """When the answers to the second shard, which is noted, are not in their place."""
    replace = os.replace

    def die_at_second(source: Path, target: Path) -> None:
        if target.parts[-2:] == ("before a noted shard is in its place", "1.parquet"):
            die()
        replace(source, target)

    mock.patch.object(os, "replace", die_at_second).start()


MOMENTS: dict[str, Callable[[], None]] = {
    "before the manifest is begun": before_manifest,
    "in the middle of a shard": before_second(answers.TableScorer, "score_piece"),
    "before a shard is noted": before_second(Journal, "append"),
    "in the middle of a line": in_second_line,
    "before a noted shard is in its place": before_second_place,
    "after a shard is in its place": before_second(run_shards, "finish_shard"),
}


def main(bundle: Path, shards: Path, folder: Path) -> dict[str, Any]:
    """What became of each scoring: the statuses of its two processes, kept shards, and its files."""
    mock.patch.object(api, "run_in_processes", run_here).start()
    answer_part.MAX_PIECE_ROWS = 100

    def run(name: str, moment: Callable[[], None] = lambda: None) -> int:
        def work() -> None:
            moment()
            scoring = tailfuse.score(bundle, shards, folder / name)
            (folder / f"{name}.json").write_text(json.dumps(scoring.as_json()))

        return forked(work)

    def read(name: str) -> dict[str, str]:
        files = [file for file in (folder / name).rglob("*") if file.is_file()]
        return {str(file.relative_to(folder / name)): file.read_bytes().hex() for file in sorted(files)}

    told: dict[str, Any] = {"never": {"statuses": [run("never")], "files": read("never")}}
    for name, moment in MOMENTS.items():
        statuses = [run(name, moment), run(name)]
        kept = json.loads((folder / f"{name}.json").read_text())["kept"]
        told[name] = {"statuses": statuses, "kept": kept, "files": read(name)}
    return told


if __name__ == "__main__":
    json.dump(main(*map(Path, sys.argv[1:])), sys.stdout)
