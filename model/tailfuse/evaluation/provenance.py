"""Where a report comes from: its date, the spec, and the rows of each split."""

import logging
import os
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import PurePath
from typing import Any

import yaml
from tailfuse_service.bundle import Manifest

from tailfuse.evaluation.evaluate import as_given

SHOWN_DIGITS = 12  # of the table's sha256

log = logging.getLogger("tailfuse")


@dataclass(frozen=True, slots=True)
class Provenance:
    """The origin of a report; None where an older bundle does not say."""

    date: date
    spec: str  # as YAML
    split: str
    rows: dict[str, int]  # by part: train, val, test
    table_sha256: str | None


def describe_provenance(manifest: Manifest) -> Provenance:
    """Describe where the model of a report comes from, as of today."""
    by_part = {"validation": manifest.validation_metrics, "test": manifest.metrics}
    rows = {part: as_given(metrics).rows for part, metrics in by_part.items() if metrics}
    sha256 = manifest.spec.get("table_sha256")
    spec = {**manifest.spec, "table": PurePath(str(manifest.spec.get("table", ""))).name}
    return Provenance(
        date=read_date(),
        spec=yaml.safe_dump(spec, sort_keys=False, allow_unicode=True, width=100),
        split=describe_split(manifest.spec),
        rows={"training": sum(info.train_count for info in manifest.classes), **rows},
        table_sha256=str(sha256)[:SHOWN_DIGITS] if sha256 else None,
    )


def read_date() -> date:
    """Return today in UTC, or the day that SOURCE_DATE_EPOCH names, for reports that must not differ."""
    text = os.environ.get("SOURCE_DATE_EPOCH")
    try:
        now = datetime.now(UTC) if text is None else datetime.fromtimestamp(int(text), UTC)
    except (ValueError, OverflowError, OSError):
        log.warning("SOURCE_DATE_EPOCH is '%.40s', not seconds since 1970: the report has today's date", text)
        now = datetime.now(UTC)
    return now.date()


def describe_split(spec: dict[str, Any]) -> str:
    """Say in a sentence how the rows of a spec were split.

    >>> describe_split({"split": "part"})
    'By column “part”.'
    >>> describe_split({"split": {"val": 0.1, "test": 0.2}})
    '10% of the rows for validation and 20% for test, drawn class by class.'
    """
    split = spec.get("split")
    if isinstance(split, str):
        return f"By column “{split}”."
    if not isinstance(split, dict):
        return ""
    column, group = split.get("column"), split.get("group")
    together = f"; rows of one “{group}” stay together" if group else ""
    if column:
        return f"By column “{column}”{together}."
    return (
        f"{split.get('val', 0):.0%} of the rows for validation and {split.get('test', 0):.0%} for test, "
        f"drawn class by class{together}."
    )
