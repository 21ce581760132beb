"""Section 2: the learnt fusion weights against uniform ones."""

from tailfuse_bench.methods import OURS
from tailfuse_bench.scores import Scores, differences, mean
from tailfuse_bench.sections.headline import labelled
from tailfuse_bench.sections.section import Aim, Section, absent, judged
from tailfuse_bench.statistics import (
    LEVEL,
    Comparison,
    compared,
    holm,
    signed_rank,
    smallest_signed_rank_p,
)
from tailfuse_bench.tables import Row, Table, difference_cell, points, points_cell, probability

TITLE = "Learnt weights against uniform ones"
AIM = "Uniform weights are significantly worse, over all classes and over the few-shot ones."
UNIFORM = "uniform"
METRICS = {
    "balanced_accuracy": "all classes",
    "many": "many-shot",
    "medium": "medium-shot",
    "few": "few-shot",
}
TESTED = ("balanced_accuracy", "few")
Tests = dict[tuple[str, str], Comparison]  # by set and metric


def section(scores: Scores) -> Section:
    tests = gains(scores)
    if not tests:
        return absent(TITLE, AIM, f"the method “{UNIFORM}”")
    return Section(
        TITLE,
        [worse(tests), few_above_all(tests)],
        note=f"{OURS} minus the same method with uniform weights, clean test rows, all modalities, percent "
        "points, mean over seeds ± half of the 95 % t-interval. A star: significant, Holm-corrected over "
        "the comparisons of all sets in the columns “all classes” and “few-shot”; the other two columns are "
        "shown without a test. What weights do for damaged inputs is in the next section.",
        tables=[table(scores, tests)],
    )


def gains(scores: Scores) -> Tests:
    """Ours minus uniform weights: one family of what is tested; the rest uncorrected."""
    found = {
        (name, metric): differences(scores.values(name, OURS, metric), scores.values(name, UNIFORM, metric))
        for name in scores.sets
        for metric in METRICS
    }
    tested = compared({pair: gaps for pair, gaps in found.items() if pair[1] in TESTED})
    shown = compared({pair: gaps for pair, gaps in found.items() if pair[1] not in TESTED})
    return tested | {pair: Comparison(test.n, test.mean, test.reach, test.p) for pair, test in shown.items()}


def worse(tests: Tests) -> Aim:
    """Judged over sets by the signed-rank test, corrected for the two columns; per set by counting."""
    means = {metric: over_sets(tests, metric) for metric in TESTED}
    ps = holm([signed_rank(found) for found in means.values()])
    parts = []
    for (metric, found), p in zip(means.items(), ps, strict=True):
        wins = sum(test.verdict == "win" for (_, at), test in tests.items() if at == metric)
        losses = sum(test.verdict == "loss" for (_, at), test in tests.items() if at == metric)
        parts.append(
            f"{METRICS[metric]}: {points(mean(found) or 0.0)} points on average, significantly better on "
            f"{wins} and worse on {losses} of {len(found)} sets, over sets p {probability(p)}"
        )
    n = min(len(found) for found in means.values())
    if 2 * smallest_signed_rank_p(n) >= LEVEL:
        return Aim(AIM, f"{'; '.join(parts)}. {n} sets are too few for a test over sets.", "open")
    reached = all(
        p is not None and p < LEVEL and (mean(found) or 0.0) > 0
        for found, p in zip(means.values(), ps, strict=True)
    )
    return Aim(AIM, f"{'; '.join(parts)}.", judged(reached))


def few_above_all(tests: Tests) -> Aim:
    few, everything = (mean(over_sets(tests, metric)) for metric in ("few", "balanced_accuracy"))
    aim = "The gain is largest on few-shot classes."
    if few is None or everything is None:
        return Aim(aim, "Not in this table: few-shot recall.", "open")
    text = f"{points(few)} points on few-shot classes, {points(everything)} over all."
    return Aim(aim, text, judged(few > 0 and few - everything >= 0.0005))  # as far as it is printed


def over_sets(tests: Tests, metric: str) -> list[float]:
    return [test.mean for (_, at), test in tests.items() if at == metric]


def table(scores: Scores, tests: Tests) -> Table:
    rows = [
        Row(labelled(scores, name), [difference_cell(tests.get((name, metric))) for metric in METRICS])
        for name in scores.sets
    ]
    rows.append(Row("mean", [points_cell(mean(over_sets(tests, metric))) for metric in METRICS], ours=True))
    return Table("Gain of the learnt weights, percent points", ["set", *METRICS.values()], rows)
