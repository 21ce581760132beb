"""Section 1, continued: the comparison by imbalance ratio, by shots and metric, and by subset."""

from collections.abc import Iterable

from tailfuse_bench.datasets import ORIGINAL_IR
from tailfuse_bench.figures import Chart, Figure, assign_colours, make_chart
from tailfuse_bench.methods import CONCAT, OURS
from tailfuse_bench.scores import Scores, mean, pair_differences
from tailfuse_bench.sections.headline import SINGLE, group_rows, label_dataset
from tailfuse_bench.statistics import compare_families
from tailfuse_bench.tables import (
    Cell,
    Row,
    Table,
    decimal_cell,
    format_record,
    join_names,
    points_cell,
    share_cell,
)


def make_ratio_table(scores: Scores) -> Table:
    """Compare by ratio; each ratio is a family of tests."""
    families = {
        ir: compare_families(
            {
                (name, method): pair_differences(
                    scores.values(name, OURS, ir=ir), scores.values(name, method, ir=ir)
                )
                for name in scores.full
                for method in scores.baselines
            }
        )
        for ir in scores.ratios
    }

    def make_row(method: str) -> Row:
        cells = []
        for tests in families.values():
            found = [test for (_, at), test in tests.items() if at == method]
            cells += [points_cell(mean(test.mean for test in found)), Cell(format_record(found))]
        return Row(method, cells)

    names = ["original ratio" if ir == ORIGINAL_IR else f"ratio {ir}" for ir in families]
    head = ["baseline", *(column for name in names for column in (name, "won/tied/lost"))]
    sizes = join_names(
        [f"{len(tests)} at {name}" for name, tests in zip(names, families.values(), strict=True)], len(names)
    )
    return Table(
        "Ours minus the baseline, by imbalance ratio, mean over sets, percent points",
        head,
        group_rows(scores, make_row),
        note=f"Holm-corrected within each ratio: {sizes} comparisons.",
    )


def make_metric_table(scores: Scores) -> Table:
    """Return all metrics of all methods, averaged over datasets."""
    shares = ("balanced_accuracy", "many", "medium", "few", "macro_f1", "accuracy")

    def average_over_datasets(method: str, metric: str) -> float | None:
        """Average a metric over datasets."""
        by_seed = (mean(scores.values(name, method, metric).values()) for name in scores.sets)
        return mean(value for value in by_seed if value is not None)

    def make_row(method: str) -> Row:
        cells = [share_cell(average_over_datasets(method, metric)) for metric in shares]
        cells += [decimal_cell(average_over_datasets(method, metric)) for metric in ("nll", "ece")]
        return Row(method, cells, ours=method == OURS)

    head = [
        "method", "balanced accuracy, %", "many, %", "medium, %", "few, %",
        "macro-F1, %", "accuracy, %", "NLL, nats", "ECE",
    ]  # fmt: skip
    return Table(
        "By shots and by other metrics, mean over sets",
        head,
        [make_row(OURS), *group_rows(scores, make_row)],
        note="Many, medium and few: mean recall of the classes’ top, middle and last third by training rows. "
        "A method without results on a set is averaged over the others.",
    )


def make_subset_table(scores: Scores) -> Table:
    """Return the mean over all subsets, for each method that was evaluated on the same subsets as ours."""

    def make_cell(name: str, method: str) -> Cell:
        found = [
            mean(scores.values(name, method, subset=subset).values())
            for subset in scores.subsets[name]
            if scores.values(name, OURS, subset=subset)
        ]
        known = [value for value in found if value is not None]
        return share_cell(mean(known) if len(known) == len(found) > 1 else None)

    def make_row(method: str) -> Row:
        return Row(method, [make_cell(name, method) for name in scores.sets], ours=method == OURS)

    head = ["method", *(label_dataset(scores, name) for name in scores.sets)]
    rows = [make_row(OURS), *group_rows(scores, make_row)]
    return Table("Balanced accuracy, mean over all subsets of the modalities, %", head, rows, folded=True)


def make_ratio_figures(scores: Scores) -> list[Figure]:
    """Draw balanced accuracy against the ratio, one chart per dataset."""
    ratios = [ir for ir in scores.ratios if ir != ORIGINAL_IR]
    if len(ratios) < 2:
        return []
    shown = (OURS, CONCAT, SINGLE, find_best_baseline(scores, ratios))
    colours = assign_colours([name for name in shown if name in scores.methods])
    charts: list[Chart] = []
    for name in sorted(scores.full):
        curves = {
            method: [
                (float(at), 100 * value)
                for at, ir in enumerate(ratios)
                if (value := mean(scores.values(name, method, ir=ir).values())) is not None
            ]
            for method in colours
        }
        if sum(map(len, curves.values())) > len(colours):
            charts.append(make_chart(name, curves, colours, x_labels=[str(ir) for ir in ratios]))
    caption = (
        "Balanced accuracy (%) against the imbalance ratio. The last method of the legend is the best of the "
    )
    return [
        Figure(caption + "other baselines, in the mean over sets and ratios.", charts, list(colours.items()))
    ]


def find_best_baseline(scores: Scores, ratios: Iterable[int]) -> str:
    """Return the baseline with the highest mean, other than concat and single."""
    means = {
        method: mean(
            value
            for name in scores.full
            for ir in ratios
            if (value := mean(scores.values(name, method, ir=ir).values())) is not None
        )
        for method in scores.baselines
        if method not in (CONCAT, SINGLE)
    }
    return max(means, key=lambda method: means[method] or 0.0, default="")
