"""The result of scoring shards."""

import logging
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tailfuse.scoring.answers import Counts
from tailfuse.scoring.journal import ShardRecord

log = logging.getLogger("tailfuse")


@dataclass(slots=True)
class Scoring:
    """The outcome of the shards called `names`, in their order."""

    names: list[str]
    records: dict[str, ShardRecord] = field(default_factory=dict)  # of those that are in their place
    kept: int = 0  # shards that an earlier run had finished
    failed: dict[str, str] = field(default_factory=dict)  # by name, the file and what is wrong with it
    other_shards: int = 0  # in the output folder, of inputs that were not given
    scored_rows: int = 0
    seconds: float = 0.0
    warnings: Counter[str] = field(default_factory=Counter)

    @property
    def counts(self) -> Counts:
        """Count the rows by outcome, also those of the shards that were kept."""
        total = Counts()
        for name in self.names:
            if name in self.records:
                counts = self.records[name].counts
                total.add(counts)
                if total.first_error == counts.first_error and counts.first_error is not None:
                    total.first_error = f"{name}, {counts.first_error}"
        return total

    @property
    def rows_per_s(self) -> float:
        """Rows per second, without those of shards that were kept."""
        return self.scored_rows / self.seconds if self.seconds else 0.0

    def as_json(self) -> dict[str, Any]:
        """Return all figures as plain JSON."""
        return {
            "shards": len(self.names), "scored": len(self.records) - self.kept, "kept": self.kept,
            "failed": self.failed, "other_shards": self.other_shards, **self.counts.as_json(),
            "scored_rows": self.scored_rows, "seconds": round(self.seconds, 3),
            "rows_per_s": round(self.rows_per_s, 1),
        }  # fmt: skip

    def add_record(self, record: ShardRecord, kept: bool) -> None:
        """Add a shard whose answers are in their place."""
        self.records[record.name] = record
        self.kept += kept
        self.scored_rows += 0 if kept else record.counts.rows
        for warning in () if kept else record.warnings:
            self.warnings[warning] += 1
            if self.warnings[warning] == 1:
                log.warning("%s: %s", record.name, warning)

    def add_failure(self, name: str, why: str, trace: str | None) -> None:
        """Add a shard that was not answered; `trace` is the traceback of an error that nobody foresaw."""
        self.failed[name] = why
        log.error("%s%s", why, f"\n{trace}" if trace else "")

    def finish(self, out: Path, seconds: float) -> None:
        """Put failures in the order of the shards, and log what concerns several shards."""
        self.seconds = seconds
        self.failed = {name: self.failed[name] for name in self.names if name in self.failed}
        for warning, count in self.warnings.items():
            if count > 1:
                log.warning("also in %s of the other shards: %s", f"{count - 1:,}", warning)
        if self.other_shards:
            log.warning("%s: also holds %s shards of other inputs", out, f"{self.other_shards:,}")
