"""Section 8: class frequencies at test time that are not those of training."""

from tailfuse_bench.methods import ADAPTED, OURS
from tailfuse_bench.scores import Scores, differences, mean
from tailfuse_bench.sections.headline import ALL_SETS, labelled
from tailfuse_bench.sections.section import Aim, Section, absent, judged
from tailfuse_bench.statistics import Comparison, compared, spread
from tailfuse_bench.tables import Row, Table, difference_cell, listed, points, points_cell, spread_cell

TITLE = "Unknown class frequencies at test time"
HELP_AIM = "Adapting helps on test rows resampled to be long-tailed and inversely long-tailed."
HARM_AIM = "It never costs more than 0.5 points on uniform ones."
MOST_HARM = 0.005
SHIFTS = {
    "shift_long": "long-tailed",
    "shift_uniform": "uniform",
    "shift_inverse": "inversely long-tailed",
}
Tests = dict[tuple[str, str], Comparison]  # by set and shift


def section(scores: Scores) -> Section:
    """Section 8: test rows with other class frequencies, before and after adapting."""
    tests = gains(scores, "accuracy")
    if not tests:
        return absent(TITLE, f"{HELP_AIM} {HARM_AIM}", f"“{OURS}” and “{ADAPTED}” on resampled test rows")
    return Section(
        TITLE,
        [helps(tests), harms(tests)],
        note="Accuracy on the resampled rows, as in SADE (Zhang 2022): with frequencies that differ, it is "
        "what knowing them can raise. Gain: percent points, mean over seeds ± half of the 95 % t-interval; "
        f"a star is significant, Holm-corrected over {len(tests)} comparisons. Balanced accuracy, folded, "
        "may fall: the adapted model favours what is frequent.",
        tables=[
            table(scores, "accuracy", "Accuracy on resampled test rows"),
            table(scores, "balanced_accuracy", "Balanced accuracy on resampled test rows", folded=True),
        ],
    )


def gains(scores: Scores, metric: str) -> Tests:
    """Adapted minus as it was, by set and shift."""
    return compared(
        {
            (name, shift): differences(
                *(scores.values(name, method, metric, condition=shift) for method in (ADAPTED, OURS))
            )
            for name in scores.sets
            for shift in SHIFTS
        }
    )


def helps(tests: Tests) -> Aim:
    """Whether adapting helps where the classes are long-tailed, either way round."""
    parts, reached = [], True
    for shift in ("shift_long", "shift_inverse"):
        found = [test for (_, at), test in tests.items() if at == shift]
        if not found:
            return Aim(HELP_AIM, f"Not in this table: {SHIFTS[shift]} test rows.", "open")
        gain = mean(test.mean for test in found) or 0.0
        better = sum(test.mean > 0 for test in found)
        wins = sum(test.verdict == "win" for test in found)
        parts.append(
            f"{SHIFTS[shift]} {points(gain)} points, better on {better} of {len(found)} sets, "
            f"significantly on {wins}"
        )
        reached = reached and gain > 0
    return Aim(HELP_AIM, f"On average over sets: {'; '.join(parts)}.".capitalize(), judged(reached))


def harms(tests: Tests) -> Aim:
    uniform = {name: test.mean for (name, shift), test in tests.items() if shift == "shift_uniform"}
    if not uniform:
        return Aim(HARM_AIM, "Not in this table: uniform test rows.", "open")
    harmed = [f"{name} ({points(gain)})" for name, gain in uniform.items() if gain < -MOST_HARM]
    text = f"{points(mean(uniform.values()) or 0.0)} points on average; "
    text += f"more is lost on {listed(harmed, ALL_SETS)}." if harmed else "less than that on every set."
    return Aim(HARM_AIM, text, judged(not harmed))


def table(scores: Scores, metric: str, caption: str, folded: bool = False) -> Table:
    tests = gains(scores, metric)
    rows = []
    for name in scores.sets:
        cells = []
        for shift in SHIFTS:
            cells += [
                spread_cell(spread(list(scores.values(name, method, metric, condition=shift).values())))
                for method in (OURS, ADAPTED)
            ]
            cells.append(difference_cell(tests.get((name, shift))))
        rows.append(Row(labelled(scores, name), cells))
    means = [mean(test.mean for (_, at), test in tests.items() if at == shift) for shift in SHIFTS]
    blank = points_cell(None)
    rows.append(
        Row("mean", [cell for gain in means for cell in (blank, blank, points_cell(gain))], ours=True)
    )
    head = ["set"]
    for spelling in SHIFTS.values():
        head += [f"{spelling}: before, %", "adapted, %", "gain, points"]
    return Table(caption, head, rows, folded=folded)
