"""Section 0: balanced accuracy with all modalities, ours and every baseline."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from scipy.stats import rankdata

from tailfuse_bench.datasets import OWN_TAIL
from tailfuse_bench.methods import METHODS, OURS
from tailfuse_bench.scores import BASELINE_GROUPS, Scores, differences, mean
from tailfuse_bench.sections.section import Aim, Section, absent, judged
from tailfuse_bench.statistics import Comparison, compared, paired, spread
from tailfuse_bench.tables import Cell, Row, Table, listed, points, spread_cell

ALL_SETS = 8  # in the protocol
SIGNIFICANT_SETS = 5  # aimed at
SINGLE = "single"  # the best modality alone
Pair = tuple[str, str]  # set, baseline


def section(scores: Scores) -> Section:
    title = f"Balanced accuracy at imbalance ratio {scores.headline_ir}"
    aim = "First on every set with all modalities."
    tests = against(scores, scores.baselines)
    if not tests:
        return absent(title, aim, f"both {OURS} and a baseline at one ratio")
    return Section(
        title,
        [first(scores), significant(scores), above_single(scores)],
        note=stand_in(scores)
        + "Test rows, all modalities, per cent, mean ± standard deviation over seeds. Bold: the highest "
        "mean of a set. A set marked “own tail” keeps the class frequencies it came with. Rank: mean over "
        "sets, 1 is best.",
        tables=[matrix(scores, "Balanced accuracy, %", "balanced_accuracy", brief=True)],
    )


def against(
    scores: Scores, methods: Sequence[str], metric: str = "balanced_accuracy"
) -> dict[Pair, Comparison]:
    """Ours minus each method on each set of the headline: one family."""
    return compared(
        {
            (name, method): differences(
                scores.values(name, OURS, metric), scores.values(name, method, metric)
            )
            for method in methods
            for name in scores.sets
        }
    )


def first(scores: Scores) -> Aim:
    tests = against(scores, scores.baselines)
    sets = sorted({name for name, _ in tests})
    beaten = {
        name: min((test.mean, method) for (at, method), test in tests.items() if at == name) for name in sets
    }
    behind = {name: worst for name, worst in beaten.items() if worst[0] <= 0}
    outcome = f"First on {len(sets) - len(behind)} of {of_sets(sets)}."
    if behind:
        gaps = [f"{name} ({method} {points(-gap)})" for name, (gap, method) in behind.items()]
        outcome += f" Not first on {listed(gaps, ALL_SETS)}, in percent points above ours."
    reached = False if behind else (True if len(sets) >= ALL_SETS else None)
    return Aim("First on every set, all modalities.", outcome, judged(reached))


def significant(scores: Scores) -> Aim:
    """Every baseline significantly worse, corrected over the whole table; and within each set."""
    tests = against(scores, scores.baselines)
    sets = sorted({name for name, _ in tests})
    overall = [name for name in sets if all(test.verdict == "win" for test in of_set(tests, name))]
    within = [
        name
        for name in sets
        if all(
            test.verdict == "win"
            for test in compared(
                {
                    method: differences(scores.values(name, OURS), scores.values(name, method))
                    for at, method in tests
                    if at == name
                }
            ).values()
        )
    ]
    aim = f"Every baseline significantly worse (Holm, p < 0.05) on at least {SIGNIFICANT_SETS} sets."
    if all(test.p is None for test in tests.values()):
        return Aim(aim, "No test is possible: one seed, or equal differences.", "open")
    outcome = (
        f"{len(overall)} of {of_sets(sets)} with the correction over all {len(tests)} "
        f"comparisons{' (' + listed(overall, ALL_SETS) + ')' if overall else ''}; {len(within)} with the "
        f"correction over the baselines of one set{' (' + listed(within, ALL_SETS) + ')' if within else ''}."
    )
    could = len(overall) + max(0, ALL_SETS - len(sets))
    reached = True if len(overall) >= SIGNIFICANT_SETS else (None if could >= SIGNIFICANT_SETS else False)
    return Aim(aim, outcome, judged(reached))


def above_single(scores: Scores) -> Aim:
    aim = "Never below the best single modality (chosen on validation rows)."
    gaps = {
        name: paired(found).mean
        for name in scores.sets
        if (found := differences(scores.values(name, OURS), scores.values(name, SINGLE)))
    }
    if not gaps:
        return Aim(aim, f"Not in this table: the method “{SINGLE}”.", "open")
    below = [f"{name} ({points(gap)})" for name, gap in gaps.items() if gap < 0]
    outcome = (
        f"Below it on {listed(below, ALL_SETS)}." if below else f"Not below it on any of {of_sets(gaps)}."
    )
    reached = False if below else (True if len(gaps) >= ALL_SETS else None)
    return Aim(aim, outcome, judged(reached))


def matrix(
    scores: Scores,
    caption: str,
    metric: str,
    *,
    brief: bool = False,
    folded: bool = False,
) -> Table:
    """Methods by sets, with the mean and the mean rank over sets; ours first."""
    cells = {
        (name, method): spread(list(scores.values(name, method, metric).values()))
        for name in scores.sets
        for method in [OURS, *scores.baselines]
    }
    means = {pair: value.mean for pair, value in cells.items() if value}
    best = {
        name: max((value for (at, _), value in means.items() if at == name), default=None)
        for name in scores.sets
    }
    ranks = ranked(means, scores.sets)

    def row(method: str) -> Row:
        found = [means[name, method] for name in scores.sets if (name, method) in means]
        overall = mean(found)
        lacking = f" ({len(found)} sets)" if 0 < len(found) < len(scores.sets) else ""
        return Row(
            method,
            [
                *(
                    spread_cell(cells[name, method], means.get((name, method)) == best[name])
                    for name in scores.sets
                ),
                Cell("–" if overall is None else f"{100 * overall:.1f}{lacking}"),
                Cell("–" if method not in ranks else f"{ranks[method]:.1f}"),
            ],
            ours=method == OURS,
        )

    head = ["method", *(labelled(scores, name) for name in scores.sets), "mean", "rank"]
    return Table(caption, head, [row(OURS), *grouped(scores, row)], brief=brief, folded=folded)


def grouped(scores: Scores, row: Callable[[str], Row]) -> list[Row]:
    """A heading for each group of baselines, and its rows; a method's citation is its title."""
    return [
        each
        for group in BASELINE_GROUPS
        if scores.group(group)
        for each in (Row(group), *(cited(row(method)) for method in scores.group(group)))
    ]


def cited(row: Row) -> Row:
    return replace(row, title=METHODS[row.name].citation) if row.name in METHODS else row


def ranked(means: dict[Pair, float], sets: Sequence[str]) -> dict[str, float]:
    """The mean rank of each method over the sets that it has."""
    ranks: dict[str, list[float]] = {}
    for name in sets:
        of_this = {method: value for (at, method), value in means.items() if at == name}
        for method, rank in zip(of_this, rankdata([-value for value in of_this.values()]), strict=True):
            ranks.setdefault(method, []).append(float(rank))
    return {method: sum(found) / len(found) for method, found in ranks.items()}


def of_set(tests: dict[Pair, Comparison], name: str) -> list[Comparison]:
    return [test for (at, _), test in tests.items() if at == name]


def labelled(scores: Scores, name: str) -> str:
    return f"{name} (own tail)" if scores.headline[name] == OWN_TAIL else name


def of_sets(sets: Sequence[str] | dict[str, float]) -> str:
    """`3 sets (the protocol has 8)`"""
    some = "" if len(sets) >= ALL_SETS else f" (the protocol has {ALL_SETS})"
    return f"{len(sets)} {'set' if len(sets) == 1 else 'sets'}{some}"


def stand_in(scores: Scores) -> str:
    if scores.headline_ir == 50:
        return ""
    return f"Ratio 50 is not in this table: {scores.headline_ir} stands in for it everywhere below. "
