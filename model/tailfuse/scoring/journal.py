"""The manifest of a scoring, `_score.jsonl`: how the answers were made, and a line for each finished shard.

A line is appended when a shard is finished, so that a scoring of many shards writes each line once. A process
that is killed may leave half of the last line: it is dropped.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator
from tailfuse_service.bundle import RuntimeName, write_atomically

from tailfuse.errors import RunError
from tailfuse.scoring.answers import Counts
from tailfuse.scoring.shards import ANSWERS_ENDING

JOURNAL = "_score.jsonl"  # readers of a folder of Parquet files pass over names with an underscore


class Settings(BaseModel):
    """The settings that all answers of an output folder share."""

    model_config = ConfigDict(frozen=True)

    format: Literal[1] = 1
    bundle: str  # digest of its manifest
    model: str
    version: str
    runtime: RuntimeName
    prior: str | Mapping[str, float] | None
    keep: tuple[str, ...]
    columns: tuple[str, ...]


class ShardRecord(BaseModel):
    """A finished shard: what was read, what was written, and what became of the rows."""

    model_config = ConfigDict(frozen=True)

    name: str
    source: str  # absolute
    input_sha256: str
    output_sha256: str
    counts: Counts
    warnings: tuple[str, ...] = ()

    @field_validator("name")
    @classmethod
    def check_name(cls, name: str) -> str:
        """Check that the shard is below the folder: --overwrite removes it. Raises ValueError."""
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or path.suffix != ANSWERS_ENDING:
            raise ValueError(f"'{name}' is not the name of a shard")
        return name


@dataclass(slots=True)
class Journal:
    """The manifest of an output folder. `stale` are the shards of an earlier run that `start` removes."""

    folder: Path
    settings: Settings
    records: dict[str, ShardRecord] = field(default_factory=dict)
    stale: Sequence[str] = ()

    @property
    def path(self) -> Path:
        return self.folder / JOURNAL

    def start(self) -> None:
        """Remove stale shards; write the manifest without a line that is half written. Raises OSError."""
        for name in self.stale:
            (self.folder / name).unlink(missing_ok=True)
        write_atomically(self.path, b"".join(map(make_line, (self.settings, *self.records.values()))))

    def append(self, record: ShardRecord) -> None:
        """Note a shard, on disk before this returns. Raises OSError."""
        with self.path.open("ab") as file:
            file.write(make_line(record))
            file.flush()
            os.fsync(file.fileno())
        self.records[record.name] = record

    def close(self) -> None:
        """Remove a manifest without shards."""
        if not self.records:
            self.path.unlink(missing_ok=True)


def open_journal(folder: Path, settings: Settings, overwrite: bool) -> Journal:
    """Return the manifest of an output folder; nothing is written yet.

    Raises RunError if the shards in it were made with other settings, unless `overwrite` makes them stale.
    """
    path = folder / JOURNAL
    if not path.exists():
        return Journal(folder, settings)
    try:
        earlier, records = read_journal(path)
    except RunError:
        if overwrite:
            return Journal(folder, settings)
        raise
    if overwrite:
        return Journal(folder, settings, stale=list(records))
    if records:
        check_settings(folder, earlier, settings)
    return Journal(folder, settings, records)


def read_journal(path: Path) -> tuple[Settings | None, dict[str, ShardRecord]]:
    """Return the settings and the last record of each shard. Raises RunError.

    The settings are None if the process was killed before they were written.
    """
    *lines, _ = path.read_bytes().split(b"\n")
    settings, records, number = None, {}, 0
    try:
        for line in lines:
            number += 1
            if settings is None:
                settings = Settings.model_validate_json(line)
            else:
                record = ShardRecord.model_validate_json(line)
                records[record.name] = record
    except ValidationError:
        raise RunError(
            f"{path}: line {number} is damaged, or of another version of tailfuse; choose another --out, or "
            "score again with --overwrite"
        ) from None
    return settings, records


def check_settings(folder: Path, earlier: Settings | None, settings: Settings) -> None:
    """Raises RunError if the answers in a folder were made with other settings."""
    if earlier is None or earlier == settings:
        return
    was, now = earlier.model_dump(), settings.model_dump()
    if earlier.bundle != settings.bundle:
        change = f"the bundle {describe_bundle(earlier)}, and this is {describe_bundle(settings)}"
    else:
        key = next(key for key in now if was[key] != now[key])
        change = f"{key} {was[key]!r}, and this is {now[key]!r}"
    raise RunError(
        f"{folder}: its answers were made with {change}; choose another --out, or score all again with "
        "--overwrite"
    )


def describe_bundle(settings: Settings) -> str:
    """Name a bundle, for a message."""
    return f"{settings.model} {settings.version} ({settings.bundle[:12]})"


def make_line(entry: BaseModel) -> bytes:
    """Return an entry as a line of JSON."""
    return entry.model_dump_json().encode() + b"\n"
