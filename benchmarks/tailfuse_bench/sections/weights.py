"""Section 2: learnt fusion weights against uniform weights."""

from tailfuse_bench.methods import OURS
from tailfuse_bench.scores import Scores, mean, pair_differences
from tailfuse_bench.sections.headline import label_dataset
from tailfuse_bench.sections.section import Section, Target, make_absent_section, make_status
from tailfuse_bench.statistics import (
    LEVEL,
    Comparison,
    compare_families,
    holm,
    signed_rank,
    smallest_signed_rank_p,
)
from tailfuse_bench.tables import Row, Table, difference_cell, format_points, format_probability, points_cell

TITLE = "Learnt weights against uniform weights"
TARGET = "Uniform weights are significantly worse, over all classes and over the few-shot ones."
UNIFORM = "uniform"
METRICS = {
    "balanced_accuracy": "all classes",
    "many": "many-shot",
    "medium": "medium-shot",
    "few": "few-shot",
}
TESTED = ("balanced_accuracy", "few")
Tests = dict[tuple[str, str], Comparison]  # by set and metric


def make_section(scores: Scores) -> Section:
    """Make the section on learnt against uniform weights."""
    tests = compute_gains(scores)
    if not tests:
        return make_absent_section(TITLE, TARGET, f"the method “{UNIFORM}”")
    return Section(
        TITLE,
        [make_uniform_target(tests), make_few_target(tests)],
        note=f"{OURS} minus the same method with uniform weights, clean test rows, all modalities, percent "
        "points, mean over seeds ± half of the 95 % t-interval. A star: significant, Holm-corrected over "
        "the comparisons of all sets in the columns “all classes” and “few-shot”; the other two columns are "
        "shown without a test. The next section shows weights under corruption.",
        tables=[make_table(scores, tests)],
    )


def compute_gains(scores: Scores) -> Tests:
    """Subtract uniform weights from ours. The TESTED metrics are one family; the others are uncorrected."""
    found = {
        (name, metric): pair_differences(
            scores.values(name, OURS, metric), scores.values(name, UNIFORM, metric)
        )
        for name in scores.sets
        for metric in METRICS
    }
    tested = compare_families({pair: gaps for pair, gaps in found.items() if pair[1] in TESTED})
    shown = compare_families({pair: gaps for pair, gaps in found.items() if pair[1] not in TESTED})
    return tested | {
        pair: Comparison(test.n, test.mean, test.half_interval, test.p) for pair, test in shown.items()
    }


def make_uniform_target(tests: Tests) -> Target:
    """Test over datasets with the signed-rank test, corrected for the two metrics."""
    means = {metric: collect_means(tests, metric) for metric in TESTED}
    ps = holm([signed_rank(found) for found in means.values()])
    parts = []
    for (metric, found), p in zip(means.items(), ps, strict=True):
        wins = sum(test.verdict == "win" for (_, at), test in tests.items() if at == metric)
        losses = sum(test.verdict == "loss" for (_, at), test in tests.items() if at == metric)
        gain = format_points(mean(found) or 0.0)
        parts.append(
            f"{METRICS[metric]}: {gain} points on average, significantly better on "
            f"{wins} and worse on {losses} of {len(found)} sets, over sets p {format_probability(p)}"
        )
    n = min(len(found) for found in means.values())
    if 2 * smallest_signed_rank_p(n) >= LEVEL:
        return Target(TARGET, f"{'; '.join(parts)}. {n} sets are too few for a test over sets.", "open")
    reached = all(
        p is not None and p < LEVEL and (mean(found) or 0.0) > 0
        for found, p in zip(means.values(), ps, strict=True)
    )
    return Target(TARGET, f"{'; '.join(parts)}.", make_status(reached))


def make_few_target(tests: Tests) -> Target:
    """Compare the gain on few-shot classes with that on all classes."""
    few, everything = (mean(collect_means(tests, metric)) for metric in ("few", "balanced_accuracy"))
    target = "The gain is largest on few-shot classes."
    if few is None or everything is None:
        return Target(target, "Not in this table: few-shot recall.", "open")
    text = f"{format_points(few)} points on few-shot classes, {format_points(everything)} over all."
    return Target(target, text, make_status(few > 0 and few - everything >= 0.0005))  # the printed precision


def collect_means(tests: Tests, metric: str) -> list[float]:
    """Collect the mean gains in one metric."""
    return [test.mean for (_, at), test in tests.items() if at == metric]


def make_table(scores: Scores, tests: Tests) -> Table:
    """Return the gains of each dataset, by class group."""
    rows = [
        Row(label_dataset(scores, name), [difference_cell(tests.get((name, metric))) for metric in METRICS])
        for name in scores.sets
    ]
    rows.append(
        Row("mean", [points_cell(mean(collect_means(tests, metric))) for metric in METRICS], ours=True)
    )
    return Table("Gain of the learnt weights, percent points", ["set", *METRICS.values()], rows)
