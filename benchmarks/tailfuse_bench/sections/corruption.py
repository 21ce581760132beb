"""Section 3: a corrupted modality loses its weight, and costs no more than its absence."""

from tailfuse_bench.figures import Figure, assign_colours, make_chart
from tailfuse_bench.methods import OURS
from tailfuse_bench.scores import ABLATION, BASELINE_GROUPS, Scores, Values, mean
from tailfuse_bench.sections.section import Section, Target, make_absent_section, make_status
from tailfuse_bench.tables import (
    Row,
    Table,
    decimal_cell,
    format_points,
    join_names,
    points_cell,
)

TITLE = "Corrupted modalities"
MAX_WEIGHT = 0.05
MAX_LOSS = 0.005
PLAUSIBLE = "other_row"  # looks plausible by itself: reported without a target
CURVE = "noise_added"
NAMES = {
    "noise_1": "N(0, 1) noise",
    "noise_3": "N(0, 3) noise",
    "blank": "zeros, black",
    "blur": "heavy blur",
    "jpeg": "strong JPEG compression",
    "other_row": "another row’s values",
}
WEIGHT_TARGET = "The mean weight of a corrupted modality is at most 0.05."
LOSS_TARGET = "Balanced accuracy at least that of the remaining modalities alone, less 0.5 points."
Case = tuple[str, str, str]  # set, modality, corruption


def make_section(scores: Scores) -> Section:
    """Make the section on corrupted modalities."""
    weights, changes = average_cases(scores, "weight"), average_cases(scores, "change")
    if not weights and not changes:
        return make_absent_section(TITLE, f"{WEIGHT_TARGET} {LOSS_TARGET}", "corrupted modalities")
    return Section(
        TITLE,
        [make_weight_target(weights), make_loss_target(changes)],
        note="One modality of every test row is replaced. “Change”: balanced accuracy minus that of the "
        "remaining modalities alone, percent points. A case is a modality of a set under one corruption, "
        "mean over seeds; the worst is over cases. Another row’s values look plausible by themselves: they "
        "are reported without a target.",
        tables=[
            make_summary_table(weights, changes),
            make_method_table(scores),
            make_case_table(scores, weights, changes),
        ],
        figures=make_curves(scores),
    )


def list_corruptions(scores: Scores) -> list[str]:
    """List the corruptions that the results have, in the order of the tables."""
    return [corruption for corruption in NAMES if corruption in scores.conditions]


def average_cases(scores: Scores, what: str, method: str = OURS) -> dict[Case, float]:
    """Average over seeds the weight of the corrupted modality, or the change in balanced accuracy."""
    found = {
        (name, modality, corruption): mean(
            get_case_values(scores, what, method, name, modality, corruption).values()
        )
        for name in scores.sets
        for modality in scores.modalities(name)
        for corruption in list_corruptions(scores)
    }
    return {case: value for case, value in found.items() if value is not None}


def get_case_values(
    scores: Scores, what: str, method: str, name: str, modality: str, corruption: str
) -> Values:
    """Return the values of one case by seed: the weight, or the change in balanced accuracy."""
    if what == "weight":
        return scores.values(name, method, "weight", condition=corruption, modality=modality)
    corrupted = scores.values(name, method, condition=corruption, modality=modality)
    others = "+".join(other for other in scores.modalities(name) if other != modality)
    alone = scores.values(name, method, subset=others) if others else {}
    return {seed: corrupted[seed] - alone[seed] for seed in corrupted.keys() & alone.keys()}


def make_weight_target(weights: dict[Case, float]) -> Target:
    """Count the cases whose weight is at most the target, and name the others."""
    tested_cases = {case: weight for case, weight in weights.items() if case[2] != PLAUSIBLE}
    if not tested_cases:
        return Target(WEIGHT_TARGET, "Not in this table: weights under corruption.", "open")
    over = sorted(
        (case for case, weight in tested_cases.items() if weight > MAX_WEIGHT),
        key=lambda case: weights[case],
    )
    text = (
        f"{mean(tested_cases.values()):.3f} on average; at most 0.05 in {len(tested_cases) - len(over)} of "
    )
    text += f"{len(tested_cases)} cases."
    if over:
        named = [f"{describe_case(case)} ({weights[case]:.2f})" for case in reversed(over)]
        text += f" Above: {join_names(named)}."
    return Target(WEIGHT_TARGET, text, make_status(not over))


def make_loss_target(changes: dict[Case, float]) -> Target:
    """Count the cases whose loss is at most the target, and name the others."""
    tested_cases = {case: change for case, change in changes.items() if case[2] != PLAUSIBLE}
    if not tested_cases:
        return Target(
            LOSS_TARGET,
            "Not in this table: balanced accuracy under corruption and of the rest alone.",
            "open",
        )
    under = sorted(
        (case for case, change in tested_cases.items() if change < -MAX_LOSS), key=lambda case: changes[case]
    )
    text = f"{format_points(mean(tested_cases.values()) or 0.0)} points on average; kept in "
    text += f"{len(tested_cases) - len(under)} of {len(tested_cases)} cases."
    if under:
        named = [f"{describe_case(case)} ({format_points(changes[case])})" for case in under]
        text += f" More is lost with {join_names(named)}."
    return Target(LOSS_TARGET, text, make_status(not under))


def describe_case(case: Case) -> str:
    """Name a case: `pie view_1, heavy blur`."""
    name, modality, corruption = case
    return f"{name} {modality}, {NAMES[corruption]}"


def make_summary_table(weights: dict[Case, float], changes: dict[Case, float]) -> Table:
    """Return one row for each corruption."""
    rows = []
    for corruption, spelling in NAMES.items():
        weight = {case: value for case, value in weights.items() if case[2] == corruption}
        change = {case: value for case, value in changes.items() if case[2] == corruption}
        if not weight and not change:
            continue
        rows.append(
            Row(
                spelling,
                [
                    decimal_cell(float(len(weight.keys() | change.keys())), 0),
                    decimal_cell(mean(weight.values())),
                    decimal_cell(max(weight.values(), default=None)),
                    points_cell(mean(change.values())),
                    points_cell(min(change.values(), default=None)),
                ],
            )
        )
    head = ["corruption", "cases", "mean weight", "worst weight", "change, points", "worst change, points"]
    return Table(f"{OURS} with one modality corrupted", head, rows, brief=True)


def make_method_table(scores: Scores) -> Table:
    """Return the change in balanced accuracy for every method with results on corrupted rows."""
    rows = []
    groups = (*BASELINE_GROUPS, ABLATION)
    for method in [OURS, *(method for group in groups for method in scores.group(group))]:
        change = average_cases(scores, "change", method)
        if change:
            means = [
                mean(value for case, value in change.items() if case[2] == at)
                for at in list_corruptions(scores)
            ]
            rows.append(Row(method, [points_cell(value) for value in means], ours=method == OURS))
    head = ["method", *(NAMES[corruption] for corruption in list_corruptions(scores))]
    return Table("Change by method, mean over cases, percent points", head, rows)


def make_case_table(scores: Scores, weights: dict[Case, float], changes: dict[Case, float]) -> Table:
    """Return one row per modality, with its weight and the change under each corruption."""
    rows = []
    for name in scores.sets:
        rows.append(Row(name))
        for modality in scores.modalities(name):
            clean = mean(scores.values(name, OURS, "weight", modality=modality).values())
            cells = [decimal_cell(clean, 2)]
            for corruption in list_corruptions(scores):
                case = (name, modality, corruption)
                cells += [decimal_cell(weights.get(case), 2), points_cell(changes.get(case))]
            rows.append(Row(modality, cells))
    head = ["modality", "clean weight"]
    head += [
        column
        for corruption in list_corruptions(scores)
        for column in (f"{NAMES[corruption]}: weight", "change")
    ]
    return Table("Every case: mean weight, and change in percent points", head, rows, folded=True)


def make_curves(scores: Scores) -> list[Figure]:
    """Draw mean weight against the scale of added noise, one chart per dataset, one line per modality."""
    charts = []
    for name in scores.sets:
        levels, modalities = scores.levels(name, CURVE), scores.modalities(name)
        lines = {
            modality: [
                (float(at), weight)
                for at, level in enumerate(levels)
                if (weight := mean(get_weight_at(scores, name, modality, level).values())) is not None
            ]
            for modality in modalities
        }
        if any(lines.values()):
            labels = [f"{level:g}" for level in levels]
            charts.append(
                make_chart(
                    name, lines, assign_colours(modalities),
                    x_labels=labels, y_range=(0, 1), level=MAX_WEIGHT, keyed=True,
                )
            )  # fmt: skip
    if not charts:
        return []
    caption = (
        "Mean weight of a modality against the scale of the Gaussian noise added to it (in standard "
        "deviations of its training rows, evenly spaced here). Dashed: 0.05."
    )
    return [Figure(caption, charts)]


def get_weight_at(scores: Scores, name: str, modality: str, level: float) -> Values:
    """Return a modality's weight at a level of added noise, by seed."""
    return scores.values(name, OURS, "weight", condition=CURVE, modality=modality, level=level)
