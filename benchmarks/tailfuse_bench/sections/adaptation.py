"""Section 8: class frequencies at test time that differ from training."""

from tailfuse_bench.methods import ADAPTED, OURS
from tailfuse_bench.scores import Scores, mean, pair_differences
from tailfuse_bench.sections.headline import N_DATASETS, label_dataset
from tailfuse_bench.sections.section import Section, Target, make_absent_section, make_status
from tailfuse_bench.statistics import Comparison, compare_families, summarise
from tailfuse_bench.tables import (
    Row,
    Table,
    difference_cell,
    format_points,
    join_names,
    points_cell,
    spread_cell,
)

TITLE = "Unknown class frequencies at test time"
HELP_TARGET = "Adapting helps on test rows resampled to be long-tailed and inversely long-tailed."
HARM_TARGET = "It never costs more than 0.5 points on uniform test rows."
MAX_HARM = 0.005
SHIFTS = {
    "shift_long": "long-tailed",
    "shift_uniform": "uniform",
    "shift_inverse": "inversely long-tailed",
}
Tests = dict[tuple[str, str], Comparison]  # by set and shift


def make_section(scores: Scores) -> Section:
    """Return section 8: other class frequencies, before and after adapting."""
    tests = compute_gains(scores, "accuracy")
    if not tests:
        return make_absent_section(
            TITLE, f"{HELP_TARGET} {HARM_TARGET}", f"“{OURS}” and “{ADAPTED}” on resampled test rows"
        )
    return Section(
        TITLE,
        [make_help_target(tests), make_harm_target(tests)],
        note="Accuracy on the resampled rows, as in SADE (Zhang 2022): it is what knowing the frequencies "
        "can raise. Gain: percent points, mean over seeds ± half of the 95 % t-interval; "
        f"a star is significant, Holm-corrected over {len(tests)} comparisons. Balanced accuracy, folded, "
        "may fall: the adapted model favours frequent classes.",
        tables=[
            make_table(scores, "accuracy", "Accuracy on resampled test rows"),
            make_table(scores, "balanced_accuracy", "Balanced accuracy on resampled test rows", folded=True),
        ],
    )


def compute_gains(scores: Scores, metric: str) -> Tests:
    """Subtract the accuracy before adapting from that after, by dataset and shift."""
    return compare_families(
        {
            (name, shift): pair_differences(
                *(scores.values(name, method, metric, condition=shift) for method in (ADAPTED, OURS))
            )
            for name in scores.sets
            for shift in SHIFTS
        }
    )


def make_help_target(tests: Tests) -> Target:
    """Check whether adapting helps under long-tailed and inversely long-tailed classes."""
    parts, reached = [], True
    for shift in ("shift_long", "shift_inverse"):
        found = [test for (_, at), test in tests.items() if at == shift]
        if not found:
            return Target(HELP_TARGET, f"Not in this table: {SHIFTS[shift]} test rows.", "open")
        gain = mean(test.mean for test in found) or 0.0
        better = sum(test.mean > 0 for test in found)
        wins = sum(test.verdict == "win" for test in found)
        parts.append(
            f"{SHIFTS[shift]} {format_points(gain)} points, better on {better} of {len(found)} sets, "
            f"significantly on {wins}"
        )
        reached = reached and gain > 0
    return Target(
        HELP_TARGET, f"On average over sets: {'; '.join(parts)}.".capitalize(), make_status(reached)
    )


def make_harm_target(tests: Tests) -> Target:
    """Check that adapting does not harm on uniform classes."""
    uniform = {name: test.mean for (name, shift), test in tests.items() if shift == "shift_uniform"}
    if not uniform:
        return Target(HARM_TARGET, "Not in this table: uniform test rows.", "open")
    harmed = [f"{name} ({format_points(gain)})" for name, gain in uniform.items() if gain < -MAX_HARM]
    text = f"{format_points(mean(uniform.values()) or 0.0)} points on average; "
    text += f"more is lost on {join_names(harmed, N_DATASETS)}." if harmed else "less than that on every set."
    return Target(HARM_TARGET, text, make_status(not harmed))


def make_table(scores: Scores, metric: str, caption: str, folded: bool = False) -> Table:
    """Return one row per dataset, with a metric before and after adapting to each shift."""
    tests = compute_gains(scores, metric)
    rows = []
    for name in scores.sets:
        cells = []
        for shift in SHIFTS:
            cells += [
                spread_cell(summarise(list(scores.values(name, method, metric, condition=shift).values())))
                for method in (OURS, ADAPTED)
            ]
            cells.append(difference_cell(tests.get((name, shift))))
        rows.append(Row(label_dataset(scores, name), cells))
    means = [mean(test.mean for (_, at), test in tests.items() if at == shift) for shift in SHIFTS]
    blank = points_cell(None)
    rows.append(
        Row("mean", [cell for gain in means for cell in (blank, blank, points_cell(gain))], ours=True)
    )
    head = ["set"]
    for spelling in SHIFTS.values():
        head += [f"{spelling}: before, %", "adapted, %", "gain, points"]
    return Table(caption, head, rows, folded=folded)
