"""Section 3: a damaged modality loses its weight, and costs no more than its absence."""

from tailfuse_bench.figures import Figure, chart, key_of
from tailfuse_bench.methods import OURS
from tailfuse_bench.scores import ABLATION, BASELINE_GROUPS, Scores, Values, mean
from tailfuse_bench.sections.section import Aim, Section, absent, judged
from tailfuse_bench.tables import (
    Row,
    Table,
    decimal_cell,
    listed,
    points,
    points_cell,
)

TITLE = "A bad modality is found out"
MOST_WEIGHT = 0.05
MOST_LOSS = 0.005
HEALTHY = "other_row"  # looks healthy: reported, not judged
CURVE = "noise_added"
NAMES = {
    "noise_1": "N(0, 1) noise",
    "noise_3": "N(0, 3) noise",
    "blank": "zeros, black",
    "blur": "heavy blur",
    "jpeg": "JPEG damage",
    "other_row": "another row’s values",
}
WEIGHT_AIM = "The mean weight of a damaged modality is at most 0.05."
LOSS_AIM = "Balanced accuracy at least that of the remaining modalities alone, less 0.5 points."
Case = tuple[str, str, str]  # set, modality, damage


def section(scores: Scores) -> Section:
    weights, changes = cases(scores, "weight"), cases(scores, "change")
    if not weights and not changes:
        return absent(TITLE, f"{WEIGHT_AIM} {LOSS_AIM}", "damaged modalities")
    return Section(
        TITLE,
        [low_weight(weights), little_loss(changes)],
        note="One modality of every test row is replaced. “Change”: balanced accuracy minus that of the "
        "remaining modalities alone, percent points. A case is a modality of a set under one damage, mean "
        "over seeds; the worst is of the cases. Another row’s values look healthy by themselves: they are "
        "reported, not judged.",
        tables=[summary(weights, changes), by_method(scores), by_case(scores, weights, changes)],
        figures=curves(scores),
    )


def damages(scores: Scores) -> list[str]:
    return [damage for damage in NAMES if damage in scores.conditions]


def cases(scores: Scores, what: str, method: str = OURS) -> dict[Case, float]:
    """The mean over seeds of the weight of the damaged modality, or of the change in balanced accuracy."""
    found = {
        (name, modality, damage): mean(of_case(scores, what, method, name, modality, damage).values())
        for name in scores.sets
        for modality in scores.modalities(name)
        for damage in damages(scores)
    }
    return {case: value for case, value in found.items() if value is not None}


def of_case(scores: Scores, what: str, method: str, name: str, modality: str, damage: str) -> Values:
    if what == "weight":
        return scores.values(name, method, "weight", condition=damage, modality=modality)
    damaged = scores.values(name, method, condition=damage, modality=modality)
    others = "+".join(other for other in scores.modalities(name) if other != modality)
    alone = scores.values(name, method, subset=others) if others else {}
    return {seed: damaged[seed] - alone[seed] for seed in damaged.keys() & alone.keys()}


def low_weight(weights: dict[Case, float]) -> Aim:
    judged_cases = {case: weight for case, weight in weights.items() if case[2] != HEALTHY}
    if not judged_cases:
        return Aim(WEIGHT_AIM, "Not in this table: weights under damage.", "open")
    over = sorted(
        (case for case, weight in judged_cases.items() if weight > MOST_WEIGHT),
        key=lambda case: weights[case],
    )
    text = (
        f"{mean(judged_cases.values()):.3f} on average; at most 0.05 in {len(judged_cases) - len(over)} of "
    )
    text += f"{len(judged_cases)} cases."
    if over:
        text += f" Above: {listed([f'{spelt(case)} ({weights[case]:.2f})' for case in reversed(over)])}."
    return Aim(WEIGHT_AIM, text, judged(not over))


def little_loss(changes: dict[Case, float]) -> Aim:
    judged_cases = {case: change for case, change in changes.items() if case[2] != HEALTHY}
    if not judged_cases:
        return Aim(
            LOSS_AIM, "Not in this table: balanced accuracy under damage and of the rest alone.", "open"
        )
    under = sorted(
        (case for case, change in judged_cases.items() if change < -MOST_LOSS), key=lambda case: changes[case]
    )
    text = f"{points(mean(judged_cases.values()) or 0.0)} points on average; kept in "
    text += f"{len(judged_cases) - len(under)} of {len(judged_cases)} cases."
    if under:
        text += (
            f" More is lost with {listed([f'{spelt(case)} ({points(changes[case])})' for case in under])}."
        )
    return Aim(LOSS_AIM, text, judged(not under))


def spelt(case: Case) -> str:
    name, modality, damage = case
    return f"{name} {modality}, {NAMES[damage]}"


def summary(weights: dict[Case, float], changes: dict[Case, float]) -> Table:
    """One row for each damage."""
    rows = []
    for damage, spelling in NAMES.items():
        of_damage = {case: weight for case, weight in weights.items() if case[2] == damage}
        change = {case: value for case, value in changes.items() if case[2] == damage}
        if not of_damage and not change:
            continue
        rows.append(
            Row(
                spelling,
                [
                    decimal_cell(float(len(of_damage.keys() | change.keys())), 0),
                    decimal_cell(mean(of_damage.values())),
                    decimal_cell(max(of_damage.values(), default=None)),
                    points_cell(mean(change.values())),
                    points_cell(min(change.values(), default=None)),
                ],
            )
        )
    head = ["damage", "cases", "mean weight", "worst weight", "change, points", "worst change, points"]
    return Table(f"{OURS} with one modality damaged", head, rows, brief=True)


def by_method(scores: Scores) -> Table:
    """The same change for every method whose damaged rows are in the table."""
    rows = []
    groups = (*BASELINE_GROUPS, ABLATION)
    for method in [OURS, *(method for group in groups for method in scores.group(group))]:
        change = cases(scores, "change", method)
        if change:
            means = [mean(value for case, value in change.items() if case[2] == at) for at in damages(scores)]
            rows.append(Row(method, [points_cell(value) for value in means], ours=method == OURS))
    head = ["method", *(NAMES[damage] for damage in damages(scores))]
    return Table("Change by method, mean over cases, percent points", head, rows)


def by_case(scores: Scores, weights: dict[Case, float], changes: dict[Case, float]) -> Table:
    rows = []
    for name in scores.sets:
        rows.append(Row(name))
        for modality in scores.modalities(name):
            clean = mean(scores.values(name, OURS, "weight", modality=modality).values())
            cells = [decimal_cell(clean, 2)]
            for damage in damages(scores):
                case = (name, modality, damage)
                cells += [decimal_cell(weights.get(case), 2), points_cell(changes.get(case))]
            rows.append(Row(modality, cells))
    head = ["modality", "clean weight"]
    head += [column for damage in damages(scores) for column in (f"{NAMES[damage]}: weight", "change")]
    return Table("Every case: mean weight, and change in percent points", head, rows, folded=True)


def curves(scores: Scores) -> list[Figure]:
    """Mean weight against the scale of added noise, one chart a set, one line a modality."""
    charts = []
    for name in scores.sets:
        levels, modalities = scores.levels(name, CURVE), scores.modalities(name)
        lines = {
            modality: [
                (float(at), weight)
                for at, level in enumerate(levels)
                if (weight := mean(weight_at(scores, name, modality, level).values())) is not None
            ]
            for modality in modalities
        }
        if any(lines.values()):
            labels = [f"{level:g}" for level in levels]
            charts.append(
                chart(
                    name, lines, key_of(modalities),
                    x_labels=labels, y_range=(0, 1), level=MOST_WEIGHT, keyed=True,
                )
            )  # fmt: skip
    if not charts:
        return []
    caption = (
        "Mean weight of a modality against the scale of the Gaussian noise added to it (in standard "
        "deviations of its training rows, evenly spaced here). Dashed: 0.05."
    )
    return [Figure(caption, charts)]


def weight_at(scores: Scores, name: str, modality: str, level: float) -> Values:
    return scores.values(name, OURS, "weight", condition=CURVE, modality=modality, level=level)
