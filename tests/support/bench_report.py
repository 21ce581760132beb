"""The synthetic bench on disk, with rows left out or changed, and the sections of its report."""

from collections.abc import Callable
from pathlib import Path

from tailfuse_bench.records import Result, write_tables
from tailfuse_bench.report import make_sections
from tailfuse_bench.scores import read_scores
from tailfuse_bench.sections.section import Section

from tests.support.made_bench import bench

WHOLE = bench()
Keep = Callable[[Result], bool]
Change = Callable[[Result], Result]


def write_bench(out: Path, keep: Keep = lambda row: True, change: Change = lambda row: row) -> Path:
    """The synthetic bench in `out`, rows left out or changed."""
    results, bins = WHOLE
    write_tables(out, [change(row) for row in results if keep(row)], bins)
    return out


def read_sections(
    out: Path, keep: Keep = lambda row: True, change: Change = lambda row: row
) -> list[Section]:
    return make_sections(read_scores(write_bench(out, keep, change)))


def raise_accuracy(by: float, of: Keep) -> Change:
    """Balanced accuracy, accuracy and few-shot recall changed by `by` in some rows."""

    def change(row: Result) -> Result:
        if not of(row) or row.balanced_accuracy is None or row.accuracy is None or row.few is None:
            return row
        return row._replace(
            balanced_accuracy=row.balanced_accuracy + by, accuracy=row.accuracy + by, few=row.few + by
        )

    return change


def is_clean(row: Result) -> bool:
    return row.condition == "clean" and not row.modality
