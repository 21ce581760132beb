"""Section 0: balanced accuracy with all modalities, of our method and every baseline."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from scipy.stats import rankdata

from tailfuse_bench.datasets import ORIGINAL_IR
from tailfuse_bench.methods import METHODS, OURS
from tailfuse_bench.scores import BASELINE_GROUPS, Scores, mean, pair_differences
from tailfuse_bench.sections.section import Section, Target, make_absent_section, make_status
from tailfuse_bench.statistics import Comparison, compare_families, paired_t_test, summarise
from tailfuse_bench.tables import Cell, Row, Table, format_points, join_names, spread_cell

N_DATASETS = 8  # of the full benchmark
MIN_SIGNIFICANT_DATASETS = 5  # the target
SINGLE = "single"  # method: the best modality alone
Pair = tuple[str, str]  # set, baseline


def make_section(scores: Scores) -> Section:
    """Make the section on balanced accuracy with all modalities."""
    title = f"Balanced accuracy at imbalance ratio {scores.headline_ir}"
    target = "First on every set with all modalities."
    tests = compare_methods(scores, scores.baselines)
    if not tests:
        return make_absent_section(title, target, f"both {OURS} and a baseline at one ratio")
    return Section(
        title,
        [make_best_target(scores), make_significance_target(scores), make_single_target(scores)],
        note=explain_ratio(scores)
        + "Test rows, all modalities, per cent, mean ± standard deviation over seeds. Bold: the highest "
        "mean of a set. A set marked “original ratio” keeps its original class frequencies. Rank: mean over "
        "sets, 1 is best.",
        tables=[make_matrix(scores, "Balanced accuracy, %", "balanced_accuracy", brief=True)],
    )


def compare_methods(
    scores: Scores, methods: Sequence[str], metric: str = "balanced_accuracy"
) -> dict[Pair, Comparison]:
    """Compare ours with each method on each dataset of the headline: one family of tests."""
    return compare_families(
        {
            (name, method): pair_differences(
                scores.values(name, OURS, metric), scores.values(name, method, metric)
            )
            for method in methods
            for name in scores.sets
        }
    )


def make_best_target(scores: Scores) -> Target:
    """Count the datasets on which ours is first, and name the others."""
    tests = compare_methods(scores, scores.baselines)
    sets = sorted({name for name, _ in tests})
    beaten = {
        name: min((test.mean, method) for (at, method), test in tests.items() if at == name) for name in sets
    }
    behind = {name: worst for name, worst in beaten.items() if worst[0] <= 0}
    outcome = f"First on {len(sets) - len(behind)} of {count_datasets(sets)}."
    if behind:
        gaps = [f"{name} ({method} {format_points(-gap)})" for name, (gap, method) in behind.items()]
        outcome += f" Not first on {join_names(gaps, N_DATASETS)}, in percent points above ours."
    reached = False if behind else (True if len(sets) >= N_DATASETS else None)
    return Target("First on every set, all modalities.", outcome, make_status(reached))


def make_significance_target(scores: Scores) -> Target:
    """Count the datasets on which every baseline is significantly worse."""
    tests = compare_methods(scores, scores.baselines)
    sets = sorted({name for name, _ in tests})
    overall = [name for name in sets if all(test.verdict == "win" for test in select_dataset(tests, name))]
    within = [
        name
        for name in sets
        if all(
            test.verdict == "win"
            for test in compare_families(
                {
                    method: pair_differences(scores.values(name, OURS), scores.values(name, method))
                    for at, method in tests
                    if at == name
                }
            ).values()
        )
    ]
    target = (
        f"Every baseline significantly worse (Holm, p < 0.05) on at least {MIN_SIGNIFICANT_DATASETS} sets."
    )
    if all(test.p is None for test in tests.values()):
        return Target(target, "No test is possible: one seed, or equal differences.", "open")
    outcome = (
        f"{len(overall)} of {count_datasets(sets)} with the correction over all {len(tests)} "
        f"comparisons{name_in_brackets(overall)}; {len(within)} with the correction over the baselines of "
        f"one set{name_in_brackets(within)}."
    )
    could = len(overall) + max(0, N_DATASETS - len(sets))
    reached = (
        True
        if len(overall) >= MIN_SIGNIFICANT_DATASETS
        else (None if could >= MIN_SIGNIFICANT_DATASETS else False)
    )
    return Target(target, outcome, make_status(reached))


def name_in_brackets(names: Sequence[str]) -> str:
    """Join names in brackets: ` (pie, wiki)`; empty without names."""
    return f" ({join_names(names, N_DATASETS)})" if names else ""


def make_single_target(scores: Scores) -> Target:
    """Name the datasets on which ours is below the best single modality."""
    target = "Never below the best single modality (chosen on validation rows)."
    gaps = {
        name: paired_t_test(found).mean
        for name in scores.sets
        if (found := pair_differences(scores.values(name, OURS), scores.values(name, SINGLE)))
    }
    if not gaps:
        return Target(target, f"Not in this table: the method “{SINGLE}”.", "open")
    below = [f"{name} ({format_points(gap)})" for name, gap in gaps.items() if gap < 0]
    outcome = (
        f"Below it on {join_names(below, N_DATASETS)}."
        if below
        else f"Not below it on any of {count_datasets(gaps)}."
    )
    reached = False if below else (True if len(gaps) >= N_DATASETS else None)
    return Target(target, outcome, make_status(reached))


def make_matrix(
    scores: Scores,
    caption: str,
    metric: str,
    *,
    brief: bool = False,
    folded: bool = False,
) -> Table:
    """Return a table of methods by datasets, with mean and mean rank; ours is the top row."""
    cells = {
        (name, method): summarise(list(scores.values(name, method, metric).values()))
        for name in scores.sets
        for method in [OURS, *scores.baselines]
    }
    means = {pair: value.mean for pair, value in cells.items() if value}
    best = {
        name: max((value for (at, _), value in means.items() if at == name), default=None)
        for name in scores.sets
    }
    ranks = compute_mean_ranks(means, scores.sets)

    def make_row(method: str) -> Row:
        """Return the row of one method."""
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

    head = ["method", *(label_dataset(scores, name) for name in scores.sets), "mean", "rank"]
    return Table(caption, head, [make_row(OURS), *group_rows(scores, make_row)], brief=brief, folded=folded)


def group_rows(scores: Scores, make_row: Callable[[str], Row]) -> list[Row]:
    """Return a heading and the rows of each group of baselines; the tooltip is the citation."""
    return [
        each
        for group in BASELINE_GROUPS
        if scores.group(group)
        for each in (Row(group), *(add_citation(make_row(method)) for method in scores.group(group)))
    ]


def add_citation(make_row: Row) -> Row:
    """Add a baseline's citation to its row as a tooltip."""
    return replace(make_row, title=METHODS[make_row.name].citation) if make_row.name in METHODS else make_row


def compute_mean_ranks(means: dict[Pair, float], sets: Sequence[str]) -> dict[str, float]:
    """Compute the mean rank of each method over its datasets."""
    ranks: dict[str, list[float]] = {}
    for name in sets:
        of_this = {method: value for (at, method), value in means.items() if at == name}
        for method, rank in zip(of_this, rankdata([-value for value in of_this.values()]), strict=True):
            ranks.setdefault(method, []).append(float(rank))
    return {method: sum(found) / len(found) for method, found in ranks.items()}


def select_dataset(tests: dict[Pair, Comparison], name: str) -> list[Comparison]:
    """Select the comparisons of one dataset."""
    return [test for (at, _), test in tests.items() if at == name]


def label_dataset(scores: Scores, name: str) -> str:
    """Name a dataset, with a note if it keeps its original ratio."""
    return f"{name} (original ratio)" if scores.headline[name] == ORIGINAL_IR else name


def count_datasets(sets: Sequence[str] | dict[str, float]) -> str:
    """Count datasets: `3 sets (the full benchmark has 8)`."""
    note = "" if len(sets) >= N_DATASETS else f" (the full benchmark has {N_DATASETS})"
    return f"{len(sets)} {'set' if len(sets) == 1 else 'sets'}{note}"


def explain_ratio(scores: Scores) -> str:
    """Say which ratio replaces the full benchmark's 50, if that has no results."""
    if scores.headline_ir == 50:
        return ""
    return f"Ratio 50 is not in this table: {scores.headline_ir} replaces it everywhere below. "
