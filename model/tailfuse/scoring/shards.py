"""The shards of a scoring: each input file, and the name of the file of its answers."""

import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tailfuse.errors import TableError, UserError
from tailfuse.files.formats import TEXT_ENDINGS, is_table
from tailfuse.files.sources import IGNORED, find_parts, report_unreadable

ANSWERS_ENDING = ".parquet"

log = logging.getLogger("tailfuse")


@dataclass(frozen=True, slots=True)
class Shard:
    """An input file. `name` is the path of its answers below the output folder, with "/"."""

    name: str
    source: Path


def find_shards(inputs: Sequence[Path], out: Path) -> list[Shard]:
    """Return the shards of files and of folders, in which every table is one. Raises UserError.

    A file's answers have its name. Those of a folder's files have their paths below that folder, too.
    """
    shards: dict[str, Shard] = {}
    names: dict[Path, str] = {}
    for given in inputs:
        if given.is_dir() and out.resolve().is_relative_to(given.resolve()):
            raise UserError(f"--out {out}: is inside the input folder {given}; write to another folder")
        for source, path in list_tables(given):
            shard = Shard(name_answers(path), source)
            check_name(shard)
            other = shards.setdefault(shard.name, shard)
            if not other.source.samefile(source):
                raise UserError(
                    f"{other.source} and {source} would both be answered in {shard.name}; give the folder "
                    "that holds both: the answers keep the paths below it"
                )
            if names.setdefault(source.resolve(), shard.name) != shard.name:
                raise UserError(f"{source}: is given twice, as {names[source.resolve()]} and {shard.name}")
    for shard in shards.values():
        target = out / shard.name
        if target.exists() and target.samefile(shard.source):
            raise UserError(f"{target}: is the table that is read; write to another folder")
    if not shards:
        raise UserError(f"{', '.join(map(str, inputs)) or 'no input'}: there is no table to score")
    return list(shards.values())


def list_tables(given: Path) -> Iterator[tuple[Path, Path]]:
    """Yield each table of a file or folder, and its path below the folder. Raises TableError.

    Files and folders whose names begin with a dot or an underscore are left out; a warning counts all others
    that are no tables.
    """
    if not given.is_dir():
        find_parts(given)
        yield given, Path(given.name)
        return
    others: list[Path] = []
    for folder, folders, files in os.walk(given, onerror=report_unreadable):
        here = Path(folder)
        folders[:] = sorted(name for name in folders if not name.startswith(IGNORED))
        others += [
            here / name for name in folders if (here / name).is_symlink()
        ]  # os.walk does not follow it
        for name in sorted(files):
            if name.startswith(IGNORED):
                continue
            if is_table(name) and (here / name).is_file():
                yield here / name, (here / name).relative_to(given)
            else:
                others.append(here / name)
    if others:
        log.warning(
            "%s: %s files or links are no tables and are not scored; the first is %s",
            given, f"{len(others):,}", others[0],
        )  # fmt: skip


def name_answers(path: Path) -> str:
    """Return the name of a table's answers.

    >>> name_answers(Path("2026/a.csv.gz")), name_answers(Path("b.v2.parquet"))
    ('2026/a.parquet', 'b.v2.parquet')
    """
    ending = next((each for each in TEXT_ENDINGS if path.name.lower().endswith(each)), path.suffix)
    return (path.parent / (path.name[: -len(ending)] + ANSWERS_ENDING)).as_posix()


def check_name(shard: Shard) -> None:
    """Raises TableError if the manifest could not hold the name of a shard, or the path of its input."""
    try:
        f"{shard.name}{shard.source.resolve()}".encode()
    except UnicodeEncodeError:
        raise TableError(f"{str(shard.source)!r}: the path is not UTF-8; rename it") from None
