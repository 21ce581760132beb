"""Section 1, continued: the comparison by imbalance ratio, by shots and metric, and by subset."""

from collections.abc import Iterable

from tailfuse_bench.datasets import OWN_TAIL
from tailfuse_bench.figures import Chart, Figure, chart, key_of
from tailfuse_bench.methods import CONCAT, OURS
from tailfuse_bench.scores import Scores, differences, mean
from tailfuse_bench.sections.headline import SINGLE, grouped, labelled
from tailfuse_bench.statistics import compared
from tailfuse_bench.tables import Cell, Row, Table, decimal_cell, listed, points_cell, record, share


def by_ratio(scores: Scores) -> Table:
    """Every ratio is a family of its own."""
    families = {
        ir: compared(
            {
                (name, method): differences(
                    scores.values(name, OURS, ir=ir), scores.values(name, method, ir=ir)
                )
                for name in scores.full
                for method in scores.baselines
            }
        )
        for ir in scores.ratios
    }

    def row(method: str) -> Row:
        cells = []
        for tests in families.values():
            found = [test for (_, at), test in tests.items() if at == method]
            cells += [points_cell(mean(test.mean for test in found)), Cell(record(found))]
        return Row(method, cells)

    names = ["own tail" if ir == OWN_TAIL else f"ratio {ir}" for ir in families]
    head = ["baseline", *(column for name in names for column in (name, "won/tied/lost"))]
    sizes = listed(
        [f"{len(tests)} at {name}" for name, tests in zip(names, families.values(), strict=True)], len(names)
    )
    return Table(
        "Ours minus the baseline, by imbalance ratio, mean over sets, percent points",
        head,
        grouped(scores, row),
        note=f"Holm-corrected within each ratio: {sizes} comparisons.",
    )


def by_metric(scores: Scores) -> Table:
    """All metrics of all methods, mean over sets."""
    shares = ("balanced_accuracy", "many", "medium", "few", "macro_f1", "accuracy")

    def over_sets(method: str, metric: str) -> float | None:
        by_seed = (mean(scores.values(name, method, metric).values()) for name in scores.sets)
        return mean(value for value in by_seed if value is not None)

    def row(method: str) -> Row:
        cells = [share(over_sets(method, metric)) for metric in shares]
        cells += [decimal_cell(over_sets(method, metric)) for metric in ("nll", "ece")]
        return Row(method, cells, ours=method == OURS)

    head = [
        "method", "balanced accuracy, %", "many, %", "medium, %", "few, %",
        "macro-F1, %", "accuracy, %", "NLL, nats", "ECE",
    ]  # fmt: skip
    return Table(
        "By shots and by other metrics, mean over sets",
        head,
        [row(OURS), *grouped(scores, row)],
        note="Many, medium and few: mean recall of the classes’ top, middle and last third by training rows. "
        "A method that lacks a set is averaged over those it has.",
    )


def by_subset(scores: Scores) -> Table:
    """The mean over all subsets of a set, for each method that was judged on all that ours was."""

    def cell(name: str, method: str) -> Cell:
        found = [
            mean(scores.values(name, method, subset=subset).values())
            for subset in scores.subsets[name]
            if scores.values(name, OURS, subset=subset)
        ]
        known = [value for value in found if value is not None]
        return share(mean(known) if len(known) == len(found) > 1 else None)

    def row(method: str) -> Row:
        return Row(method, [cell(name, method) for name in scores.sets], ours=method == OURS)

    head = ["method", *(labelled(scores, name) for name in scores.sets)]
    rows = [row(OURS), *grouped(scores, row)]
    return Table("Balanced accuracy, mean over all subsets of the modalities, %", head, rows, folded=True)


def ratio_figures(scores: Scores) -> list[Figure]:
    """Balanced accuracy over the ratio, one chart a set."""
    ratios = [ir for ir in scores.ratios if ir != OWN_TAIL]
    if len(ratios) < 2:
        return []
    shown = (OURS, CONCAT, SINGLE, strongest(scores, ratios))
    colours = key_of([name for name in shown if name in scores.methods])
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
            charts.append(chart(name, curves, colours, x_labels=[str(ir) for ir in ratios]))
    caption = "Balanced accuracy (%) against the imbalance ratio. The last of the key is the best of the "
    return [
        Figure(caption + "other baselines, in the mean over sets and ratios.", charts, list(colours.items()))
    ]


def strongest(scores: Scores, ratios: Iterable[int]) -> str:
    """Of the other baselines the one with the highest mean over sets and ratios."""
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
