"""Section 7: ablations, the contribution of each part of the method."""

from collections.abc import Callable

from tailfuse_bench.methods import OURS
from tailfuse_bench.scores import Scores, Values, mean, pair_differences
from tailfuse_bench.sections.corruption import PLAUSIBLE, get_case_values, list_corruptions
from tailfuse_bench.sections.section import Section, Target, make_absent_section
from tailfuse_bench.statistics import Comparison, compare_families, holm, signed_rank
from tailfuse_bench.tables import (
    Cell,
    Row,
    Table,
    difference_cell,
    format_points,
    format_probability,
    join_names,
    points_cell,
    with_minus_sign,
)

TITLE = "Ablations"
TARGET = "The contribution of each part: the method without it."
Tests = dict[tuple[str, str], Comparison]  # by set and ablation


def make_section(scores: Scores) -> Section:
    """Return section 7: the contribution of each part."""
    tests = compare_families(
        {
            (name, method): pair_differences(scores.values(name, method), scores.values(name, OURS))
            for method in scores.ablations
            for name in scores.sets
        }
    )
    if not tests:
        return make_absent_section(TITLE, TARGET, "methods of the group “ablation”")
    return Section(
        TITLE,
        [make_target(scores, tests)],
        note=f"The ablated method minus {OURS}: below zero the part helps (for ECE and weight, above zero). "
        "Mean over sets; ± half of the 95 % t-interval over seeds by set. A star: Holm-corrected over "
        f"{len(tests)} comparisons.",
        tables=[make_measure_table(scores, tests), make_dataset_table(scores, tests)],
    )


def make_target(scores: Scores, tests: Tests) -> Target:
    """Name the parts whose removal is significantly worse, and those whose removal is not."""
    helps, harms = [], []
    for method in scores.ablations:
        of_method = [test for (_, at), test in tests.items() if at == method]
        if any(test.verdict == "loss" for test in of_method):
            helps.append(method)
        gain = mean(test.mean for test in of_method)
        if gain is not None and gain > 0:
            harms.append(f"{method} ({format_points(gain)})")
    text = f"Significantly worse on at least one set, all modalities, clean: {join_names(helps)}."
    text += f" On average no worse than the full method: {join_names(harms)}."
    return Target(TARGET, text, "shown")


def make_measure_table(scores: Scores, tests: Tests) -> Table:
    """Compare each ablation by the measures that its part affects."""

    def average_gain(method: str, values: Callable[[str, str], Values]) -> float | None:
        """Average over datasets the gain of a method over ours."""
        gaps = (mean(pair_differences(values(name, method), values(name, OURS))) for name in scores.sets)
        return mean(gap for gap in gaps if gap is not None)

    def subsets(name: str, method: str) -> Values:
        """Average balanced accuracy over the subsets of a dataset, by seed."""
        return average_by_seed(
            [scores.values(name, method, subset=subset) for subset in scores.subsets[name]]
        )

    def select_corrupted(what: str) -> Callable[[str, str], Values]:
        """Return a function that averages over corrupted cases, by seed."""
        return lambda name, method: average_by_seed(
            [
                get_case_values(scores, what, method, name, modality, corruption)
                for modality in scores.modalities(name)
                for corruption in list_corruptions(scores)
                if corruption != PLAUSIBLE
            ]
        )

    def select_metric(metric: str) -> Callable[[str, str], Values]:
        """Return a function that selects a metric, by seed."""
        return lambda name, method: scores.values(name, method, metric)

    columns: dict[str, tuple[Callable[[str, str], Values], Callable[[float | None], Cell]]] = {
        "balanced accuracy": (select_metric("balanced_accuracy"), points_cell),
        "few-shot": (select_metric("few"), points_cell),
        "mean over subsets": (subsets, points_cell),
        "corrupted, against the rest alone": (select_corrupted("change"), points_cell),
        "weight of the corrupted": (select_corrupted("weight"), decimal_difference_cell),
        "ECE": (select_metric("ece"), decimal_difference_cell),
    }
    over = {
        method: signed_rank([test.mean for (_, at), test in tests.items() if at == method])
        for method in scores.ablations
    }
    ps = dict(zip(over, holm(list(over.values())), strict=True))
    rows = [
        Row(
            method,
            [
                *(write(average_gain(method, values)) for values, write in columns.values()),
                Cell(format_probability(ps[method])),
            ],
        )
        for method in scores.ablations
    ]
    return Table(
        f"Ablated minus {OURS}, mean over sets; accuracies in percent points",
        ["without", *columns, "Wilcoxon p"],
        rows,
        note="Wilcoxon: balanced accuracy over sets, Holm-corrected over the ablations.",
        brief=True,
    )


def average_by_seed(found: list[Values]) -> Values:
    """Average by seed over the seeds that all have. Empty values are left out."""
    present = [values for values in found if values]
    common = set.intersection(*(set(values) for values in present)) if present else set()
    return {seed: sum(values[seed] for values in present) / len(present) for seed in common}


def decimal_difference_cell(value: float | None) -> Cell:
    """Format a signed difference of values that are not percentages."""
    return points_cell(None) if value is None else Cell(with_minus_sign(f"{value:+.3f}"))


def make_dataset_table(scores: Scores, tests: Tests) -> Table:
    """Return the balanced accuracy of every ablation by dataset."""
    rows = [
        Row(method, [difference_cell(tests.get((name, method))) for name in scores.sets])
        for method in scores.ablations
    ]
    return Table(
        f"Ablated minus {OURS}, balanced accuracy by set, percent points", ["without", *scores.sets], rows
    )
