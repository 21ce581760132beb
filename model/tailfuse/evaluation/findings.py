"""What a report shows beside an evaluation: baselines, rows to look at, and curves under noise."""

from collections.abc import Callable, Mapping, Sequence

import polars as pl
from tailfuse_service.bundle import Batch, Manifest, Output

from tailfuse.data.split_arrays import SplitArrays
from tailfuse.evaluation.baselines import compare_baselines
from tailfuse.evaluation.evaluate import Evaluation
from tailfuse.evaluation.metrics import Counts
from tailfuse.evaluation.noise_curves import measure_noise_curves
from tailfuse.evaluation.notable_rows import Answered, find_notable_rows
from tailfuse.evaluation.report import NO_ROWS, Findings
from tailfuse.spec.schema import ShownRows


def collect_findings(
    manifest: Manifest,
    run: Callable[[Batch], Output],
    part: SplitArrays,
    evaluation: Evaluation,
    table: Callable[[], pl.DataFrame] | None,
    *,
    shown: ShownRows,
    source: str = "",
    others: Sequence[Answered] = (),
    predictions: Mapping[str, Counts] | None = None,
) -> Findings:
    """Collect what the report of an evaluated part shows. Raises TableError where `table` does.

    `table` reads the table of the rows, whose values are shown if `shown` is "all"; without it none are.
    `source` names the part. `others` are more rows whose labels are checked, and `predictions` the answers of
    more baselines.
    """
    read = table if shown == "all" else None
    return Findings(
        baselines=compare_baselines(manifest, evaluation, predictions or {}),
        rows=NO_ROWS
        if shown == "none"
        else find_notable_rows(manifest, part, evaluation, others, source, read),
        noise=measure_noise_curves(run, part, manifest.modalities),
    )
