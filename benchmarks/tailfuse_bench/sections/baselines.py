"""Section 1: where ours wins, ties and loses against each baseline, by set, ratio, shots and subset."""

from collections import Counter
from collections.abc import Sequence

from tailfuse_bench.methods import OURS
from tailfuse_bench.scores import Scores, mean
from tailfuse_bench.sections.breakdowns import by_metric, by_ratio, by_subset, ratio_figures
from tailfuse_bench.sections.headline import against, grouped, labelled, matrix
from tailfuse_bench.sections.section import Aim, Section, absent
from tailfuse_bench.statistics import LEVEL, Comparison, holm, signed_rank, smallest_signed_rank_p, spread
from tailfuse_bench.tables import Cell, Row, Table, difference_cell, listed, points_cell, probability, record

TITLE = "Against each baseline"
PUBLISHED = ("handwritten", 1, "accuracy", 0.9851, "TMC (Han 2021)")


def section(scores: Scores) -> Section:
    tests = against(scores, scores.baselines)
    if not tests:
        return absent(TITLE, "Where ours wins, ties and loses.", f"both {OURS} and a baseline at one ratio")
    return Section(
        TITLE,
        [outcome(scores, tests), *published(scores)],
        note="Ours minus the baseline in percent points, mean over seeds ± half of the 95 % t-interval. A "
        f"star and colour: significant in a paired t-test over seeds, Holm-corrected over all {len(tests)} "
        "comparisons of the first table; so are wins and losses, all else is a tie. Signs: sets with a mean "
        "above and below zero. Wilcoxon: signed-rank test over the sets’ means, in brackets Holm-corrected "
        f"over the baselines. {power(scores, tests)}",
        tables=[
            by_set(scores, tests),
            by_ratio(scores),
            by_metric(scores),
            matrix(scores, "Recall of the few-shot classes, %", "few", folded=True),
            by_subset(scores),
        ],
        figures=ratio_figures(scores),
    )


def outcome(scores: Scores, tests: dict[tuple[str, str], Comparison]) -> Aim:
    verdicts = Counter(test.verdict for test in tests.values())
    ahead = sum(test.mean > 0 for test in tests.values())
    losses = [f"{method} on {name}" for (name, method), test in tests.items() if test.verdict == "loss"]
    text = (
        f"{verdicts['win']} won, {verdicts['tie']} tied, {verdicts['loss']} lost of {len(tests)} comparisons "
        f"at ratio {scores.headline_ir}; the mean is higher in {ahead}."
    )
    if losses:
        text += f" Significantly worse than {listed(losses)}."
    return Aim("Where ours wins, ties and loses, per set and ratio.", text, "shown")


def published(scores: Scores) -> list[Aim]:
    """The one figure of the literature that the same split allows to be compared with."""
    name, ir, metric, figure, source = PUBLISHED
    found = spread(list(scores.values(name, OURS, metric, ir=ir).values())) if name in scores.full else None
    if found is None:
        return []
    sd = "" if found.sd is None else f" ± {100 * found.sd:.2f}"
    text = f"{100 * found.mean:.2f}{sd} over {found.n} seeds."
    return [
        Aim(
            f"{name} at ratio {ir}: accuracy above {source}’s {100 * figure:.2f}.",
            text,
            "reached" if found.mean > figure else "not reached",
        )
    ]


def power(scores: Scores, tests: dict[tuple[str, str], Comparison]) -> str:
    """Said where the signed-rank test cannot be significant, however the differences fall."""
    n = len({name for name, _ in tests})
    least = min(1.0, smallest_signed_rank_p(n) * len({method for _, method in tests}))
    if least < LEVEL:
        return ""
    return (
        f"With {n} sets the smallest corrected p the signed-rank test can give at the first step is "
        f"{probability(least)}: it cannot be significant here."
    )


def by_set(scores: Scores, tests: dict[tuple[str, str], Comparison]) -> Table:
    over_sets = {
        method: [tests[name, method].mean for name in scores.sets if (name, method) in tests]
        for method in scores.baselines
    }
    ranks = {method: signed_rank(found) for method, found in over_sets.items() if found}
    corrected = dict(zip(ranks, holm(list(ranks.values())), strict=True))
    head = [
        "baseline", *(labelled(scores, name) for name in scores.sets),
        "mean", "won/tied/lost", "signs +/−", "Wilcoxon p (corrected)",
    ]  # fmt: skip

    def row(method: str) -> Row:
        found = [tests.get((name, method)) for name in scores.sets]
        return Row(
            method,
            [
                *map(difference_cell, found),
                points_cell(mean(over_sets[method])),
                Cell(record(found)),
                Cell(signs(over_sets[method])),
                Cell(f"{probability(ranks.get(method))} ({probability(corrected.get(method))})"),
            ],
        )

    return Table("Ours minus the baseline, by set, percent points", head, grouped(scores, row), brief=True)


def signs(gaps: Sequence[float]) -> str:
    """How many are above and below zero: `7/1`"""
    return f"{sum(gap > 0 for gap in gaps)}/{sum(gap < 0 for gap in gaps)}"
