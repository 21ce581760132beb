"""Section 1: wins, ties and losses against each baseline, by dataset, ratio, shots and subset."""

from collections import Counter
from collections.abc import Sequence

from tailfuse_bench.methods import OURS
from tailfuse_bench.scores import Scores, mean
from tailfuse_bench.sections.breakdowns import (
    make_metric_table,
    make_ratio_figures,
    make_ratio_table,
    make_subset_table,
)
from tailfuse_bench.sections.headline import compare_methods, group_rows, label_dataset, make_matrix
from tailfuse_bench.sections.section import Section, Target, make_absent_section
from tailfuse_bench.statistics import LEVEL, Comparison, holm, signed_rank, smallest_signed_rank_p, summarise
from tailfuse_bench.tables import (
    Cell,
    Row,
    Table,
    difference_cell,
    format_probability,
    format_record,
    join_names,
    points_cell,
)

TITLE = "Against each baseline"
PUBLISHED = ("handwritten", 1, "accuracy", 0.9851, "TMC (Han 2021)")


def make_section(scores: Scores) -> Section:
    """Make the section that compares ours with each baseline."""
    tests = compare_methods(scores, scores.baselines)
    if not tests:
        return make_absent_section(
            TITLE, "Where ours wins, ties and loses.", f"both {OURS} and a baseline at one ratio"
        )
    return Section(
        TITLE,
        [make_outcome_target(scores, tests), *make_published_targets(scores)],
        note="Ours minus the baseline in percent points, mean over seeds ± half of the 95 % t-interval. A "
        f"star and colour: significant in a paired t-test over seeds, Holm-corrected over all {len(tests)} "
        "comparisons of the first table; so are wins and losses; all others are ties. Signs: sets with a "
        "mean above and below zero. Wilcoxon: signed-rank test over the sets’ means, in brackets "
        f"Holm-corrected over the baselines. {explain_power(scores, tests)}",
        tables=[
            make_dataset_table(scores, tests),
            make_ratio_table(scores),
            make_metric_table(scores),
            make_matrix(scores, "Recall of the few-shot classes, %", "few", folded=True),
            make_subset_table(scores),
        ],
        figures=make_ratio_figures(scores),
    )


def make_outcome_target(scores: Scores, tests: dict[tuple[str, str], Comparison]) -> Target:
    """Count wins, ties and losses, and name the losses."""
    verdicts = Counter(test.verdict for test in tests.values())
    ahead = sum(test.mean > 0 for test in tests.values())
    losses = [f"{method} on {name}" for (name, method), test in tests.items() if test.verdict == "loss"]
    text = (
        f"{verdicts['win']} won, {verdicts['tie']} tied, {verdicts['loss']} lost of {len(tests)} comparisons "
        f"at ratio {scores.headline_ir}; the mean is higher in {ahead}."
    )
    if losses:
        text += f" Significantly worse than {join_names(losses)}."
    return Target("Where ours wins, ties and loses, per set and ratio.", text, "shown")


def make_published_targets(scores: Scores) -> list[Target]:
    """Compare with the one published figure that uses the same split."""
    name, ir, metric, figure, source = PUBLISHED
    found = (
        summarise(list(scores.values(name, OURS, metric, ir=ir).values())) if name in scores.full else None
    )
    if found is None:
        return []
    sd = "" if found.sd is None else f" ± {100 * found.sd:.2f}"
    text = f"{100 * found.mean:.2f}{sd} over {found.n} seeds."
    return [
        Target(
            f"{name} at ratio {ir}: accuracy above {source}’s {100 * figure:.2f}.",
            text,
            "reached" if found.mean > figure else "not reached",
        )
    ]


def explain_power(scores: Scores, tests: dict[tuple[str, str], Comparison]) -> str:
    """Say if the signed-rank test cannot be significant, whatever the differences are."""
    n = len({name for name, _ in tests})
    smallest = min(1.0, smallest_signed_rank_p(n) * len({method for _, method in tests}))
    if smallest < LEVEL:
        return ""
    return (
        f"With {n} sets the smallest corrected p the signed-rank test can give at the first step is "
        f"{format_probability(smallest)}: it cannot be significant here."
    )


def make_dataset_table(scores: Scores, tests: dict[tuple[str, str], Comparison]) -> Table:
    """Return the differences from each baseline on each dataset, with tests over datasets."""
    over_sets = {
        method: [tests[name, method].mean for name in scores.sets if (name, method) in tests]
        for method in scores.baselines
    }
    ranks = {method: signed_rank(found) for method, found in over_sets.items() if found}
    corrected = dict(zip(ranks, holm(list(ranks.values())), strict=True))
    head = [
        "baseline", *(label_dataset(scores, name) for name in scores.sets),
        "mean", "won/tied/lost", "signs +/−", "Wilcoxon p (corrected)",
    ]  # fmt: skip

    def make_row(method: str) -> Row:
        """Return the row of one baseline."""
        found = [tests.get((name, method)) for name in scores.sets]
        return Row(
            method,
            [
                *map(difference_cell, found),
                points_cell(mean(over_sets[method])),
                Cell(format_record(found)),
                Cell(count_signs(over_sets[method])),
                Cell(
                    f"{format_probability(ranks.get(method))} ({format_probability(corrected.get(method))})"
                ),
            ],
        )

    return Table(
        "Ours minus the baseline, by set, percent points", head, group_rows(scores, make_row), brief=True
    )


def count_signs(gaps: Sequence[float]) -> str:
    """Count the differences above and below zero: `7/1`."""
    return f"{sum(gap > 0 for gap in gaps)}/{sum(gap < 0 for gap in gaps)}"
