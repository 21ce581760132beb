"""Section 4: every subset of modalities against a model trained for that subset."""

from tailfuse_bench.methods import OURS, SPECIALIST
from tailfuse_bench.scores import Scores, mean, pair_differences
from tailfuse_bench.sections.headline import N_DATASETS, label_dataset
from tailfuse_bench.sections.section import Section, Target, make_absent_section, make_status
from tailfuse_bench.statistics import Comparison, compare_families, summarise
from tailfuse_bench.tables import (
    Cell,
    Row,
    Table,
    difference_cell,
    format_points,
    join_names,
    points_cell,
    spread_cell,
)

TITLE = "Any subset of the modalities"
TARGET = "On average over a set’s subsets, within one point of models trained for each subset alone."
MAX_GAP = 0.01
Tests = dict[tuple[str, str], Comparison]  # by set and subset


def make_section(scores: Scores) -> Section:
    """Make the section that compares ours with models trained for one subset."""
    tests = compare_families(
        {
            (name, subset): pair_differences(
                scores.values(name, OURS, subset=subset), scores.values(name, SPECIALIST, subset=subset)
            )
            for name in scores.sets
            for subset in scores.subsets[name]
        }
    )
    if not tests:
        return make_absent_section(TITLE, TARGET, f"the method “{SPECIALIST}”")
    return Section(
        TITLE,
        [make_target(tests)],
        note=f"One {OURS} model predicts from all subsets. Difference: balanced accuracy minus that of a "
        "model trained with only these modalities, percent points, mean over seeds ± half of the 95 % "
        f"t-interval; a star is significant, Holm-corrected over {len(tests)} comparisons.",
        tables=[make_dataset_table(scores, tests), make_subset_table(scores, tests)],
    )


def make_target(tests: Tests) -> Target:
    """Check the mean difference over the subsets of each dataset."""
    means = {
        name: mean(collect_means(tests, name)) or 0.0 for name in dict.fromkeys(name for name, _ in tests)
    }
    behind = [f"{name} ({format_points(gap)})" for name, gap in means.items() if gap < -MAX_GAP]
    text = f"{format_points(mean(means.values()) or 0.0)} points over {len(means)} sets; "
    text += f"further behind on {join_names(behind, N_DATASETS)}." if behind else "within one point on each."
    return Target(TARGET, text, make_status(not behind))


def collect_means(tests: Tests, name: str) -> list[float]:
    """Collect the mean differences of one dataset."""
    return [test.mean for (at, _), test in tests.items() if at == name]


def make_dataset_table(scores: Scores, tests: Tests) -> Table:
    """Return one row per dataset, with its mean and its worst subset."""
    rows = []
    for name in scores.sets:
        gaps = {subset: test.mean for (at, subset), test in tests.items() if at == name}
        if gaps:
            worst = min(gaps, key=lambda subset: gaps[subset])
            cells = [Cell(str(len(gaps))), points_cell(mean(gaps.values())), points_cell(gaps[worst])]
            rows.append(Row(label_dataset(scores, name), [*cells, Cell(worst.replace("+", " + "))]))
    head = ["set", "subsets", "mean difference, points", "worst, points", "which"]
    return Table(f"{OURS} minus a model trained for the subset", head, rows)


def make_subset_table(scores: Scores, tests: Tests) -> Table:
    """Return every subset of every dataset, with the best baseline."""
    rows = []
    for name in scores.sets:
        rows.append(Row(name))
        for subset in scores.subsets[name]:
            ours, special = (
                summarise(list(scores.values(name, method, subset=subset).values()))
                for method in (OURS, SPECIALIST)
            )
            means = {
                method: value
                for method in scores.baselines
                if (value := mean(scores.values(name, method, subset=subset).values())) is not None
            }
            best = max(means, key=lambda method: means[method], default=None)
            rows.append(
                Row(
                    subset.replace("+", " + "),
                    [
                        spread_cell(ours),
                        spread_cell(special),
                        difference_cell(tests.get((name, subset))),
                        Cell("–" if best is None else f"{100 * means[best]:.1f} ({best})"),
                    ],
                )
            )
    head = ["subset", "ours, %", "trained for it, %", "difference, points", "best baseline, %"]
    return Table("Balanced accuracy on every subset", head, rows, folded=True)
