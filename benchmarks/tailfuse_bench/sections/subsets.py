"""Section 4: every subset of the modalities against a model trained for it alone."""

from tailfuse_bench.methods import OURS, SPECIALIST
from tailfuse_bench.scores import Scores, differences, mean
from tailfuse_bench.sections.headline import ALL_SETS, labelled
from tailfuse_bench.sections.section import Aim, Section, absent, judged
from tailfuse_bench.statistics import Comparison, compared, spread
from tailfuse_bench.tables import Cell, Row, Table, difference_cell, listed, points, points_cell, spread_cell

TITLE = "Any subset of the modalities"
AIM = "On average over a set’s subsets, within one point of models trained for each subset alone."
MOST_BEHIND = 0.01
Tests = dict[tuple[str, str], Comparison]  # by set and subset


def section(scores: Scores) -> Section:
    tests = compared(
        {
            (name, subset): differences(
                scores.values(name, OURS, subset=subset), scores.values(name, SPECIALIST, subset=subset)
            )
            for name in scores.sets
            for subset in scores.subsets[name]
        }
    )
    if not tests:
        return absent(TITLE, AIM, f"the method “{SPECIALIST}”")
    return Section(
        TITLE,
        [outcome(tests)],
        note=f"One {OURS} model answers for all subsets. Difference: balanced accuracy minus that of a "
        "model trained with only these modalities, percent points, mean over seeds ± half of the 95 % "
        f"t-interval; a star is significant, Holm-corrected over {len(tests)} comparisons.",
        tables=[by_set(scores, tests), by_subset(scores, tests)],
    )


def outcome(tests: Tests) -> Aim:
    means = {name: mean(of_set(tests, name)) or 0.0 for name in dict.fromkeys(name for name, _ in tests)}
    behind = [f"{name} ({points(gap)})" for name, gap in means.items() if gap < -MOST_BEHIND]
    text = f"{points(mean(means.values()) or 0.0)} points over {len(means)} sets; "
    text += f"further behind on {listed(behind, ALL_SETS)}." if behind else "within one point on each."
    return Aim(AIM, text, judged(not behind))


def of_set(tests: Tests, name: str) -> list[float]:
    return [test.mean for (at, _), test in tests.items() if at == name]


def by_set(scores: Scores, tests: Tests) -> Table:
    rows = []
    for name in scores.sets:
        gaps = {subset: test.mean for (at, subset), test in tests.items() if at == name}
        if gaps:
            worst = min(gaps, key=lambda subset: gaps[subset])
            cells = [Cell(str(len(gaps))), points_cell(mean(gaps.values())), points_cell(gaps[worst])]
            rows.append(Row(labelled(scores, name), [*cells, Cell(worst.replace("+", " + "))]))
    head = ["set", "subsets", "mean difference, points", "worst, points", "which"]
    return Table(f"{OURS} minus a model trained for the subset", head, rows)


def by_subset(scores: Scores, tests: Tests) -> Table:
    """Every subset of every set, with the best baseline beside."""
    rows = []
    for name in scores.sets:
        rows.append(Row(name))
        for subset in scores.subsets[name]:
            ours, special = (
                spread(list(scores.values(name, method, subset=subset).values()))
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
