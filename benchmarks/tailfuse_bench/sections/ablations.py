"""Section 7: what each part of the method is worth, by taking it away."""

from collections.abc import Callable

from tailfuse_bench.methods import OURS
from tailfuse_bench.scores import Scores, Values, differences, mean
from tailfuse_bench.sections.damage import HEALTHY, damages, of_case
from tailfuse_bench.sections.section import Aim, Section, absent
from tailfuse_bench.statistics import Comparison, compared, holm, signed_rank
from tailfuse_bench.tables import (
    Cell,
    Row,
    Table,
    difference_cell,
    listed,
    points,
    points_cell,
    probability,
    signed,
)

TITLE = "Ablations"
AIM = "What each part is worth: the method with that part taken away."
Tests = dict[tuple[str, str], Comparison]  # by set and ablation


def section(scores: Scores) -> Section:
    """Section 7: what each part of the method is worth."""
    tests = compared(
        {
            (name, method): differences(scores.values(name, method), scores.values(name, OURS))
            for method in scores.ablations
            for name in scores.sets
        }
    )
    if not tests:
        return absent(TITLE, AIM, "methods of the group “ablation”")
    return Section(
        TITLE,
        [outcome(scores, tests)],
        note=f"The ablated method minus {OURS}: below zero the part helps (for ECE and weight, above zero). "
        "Mean over sets; ± half of the 95 % t-interval over seeds by set. A star: Holm-corrected over "
        f"{len(tests)} comparisons.",
        tables=[by_measure(scores, tests), by_set(scores, tests)],
    )


def outcome(scores: Scores, tests: Tests) -> Aim:
    """Which parts are missed when they are taken away, and which are not."""
    helps, harms = [], []
    for method in scores.ablations:
        of_method = [test for (_, at), test in tests.items() if at == method]
        if any(test.verdict == "loss" for test in of_method):
            helps.append(method)
        gain = mean(test.mean for test in of_method)
        if gain is not None and gain > 0:
            harms.append(f"{method} ({points(gain)})")
    text = f"Significantly worse on at least one set, all modalities, clean: {listed(helps)}."
    text += f" On average no worse than the full method: {listed(harms)}."
    return Aim(AIM, text, "shown")


def by_measure(scores: Scores, tests: Tests) -> Table:
    """Each part shows where it works: clean, few-shot, subsets, calibration, damage."""

    def over_sets(method: str, values: Callable[[str, str], Values]) -> float | None:
        gaps = (mean(differences(values(name, method), values(name, OURS))) for name in scores.sets)
        return mean(gap for gap in gaps if gap is not None)

    def subsets(name: str, method: str) -> Values:
        return averaged([scores.values(name, method, subset=subset) for subset in scores.subsets[name]])

    def damaged(what: str) -> Callable[[str, str], Values]:
        return lambda name, method: averaged(
            [
                of_case(scores, what, method, name, modality, damage)
                for modality in scores.modalities(name)
                for damage in damages(scores)
                if damage != HEALTHY
            ]
        )

    def of(metric: str) -> Callable[[str, str], Values]:
        return lambda name, method: scores.values(name, method, metric)

    columns: dict[str, tuple[Callable[[str, str], Values], Callable[[float | None], Cell]]] = {
        "balanced accuracy": (of("balanced_accuracy"), points_cell),
        "few-shot": (of("few"), points_cell),
        "mean over subsets": (subsets, points_cell),
        "damaged, against the rest alone": (damaged("change"), points_cell),
        "weight of the damaged": (damaged("weight"), difference_of_decimals),
        "ECE": (of("ece"), difference_of_decimals),
    }
    over = {
        method: signed_rank([test.mean for (_, at), test in tests.items() if at == method])
        for method in scores.ablations
    }
    ps = dict(zip(over, holm(list(over.values())), strict=True))
    rows = [
        Row(
            method,
            [
                *(write(over_sets(method, values)) for values, write in columns.values()),
                Cell(probability(ps[method])),
            ],
        )
        for method in scores.ablations
    ]
    return Table(
        f"Ablated minus {OURS}, mean over sets; accuracies in percent points",
        ["taken away", *columns, "Wilcoxon p"],
        rows,
        note="Wilcoxon: balanced accuracy over sets, Holm-corrected over the ablations.",
        brief=True,
    )


def averaged(found: list[Values]) -> Values:
    """The mean by seed, of the seeds that all have; what is not there at all is left out."""
    some = [values for values in found if values]
    common = set.intersection(*(set(values) for values in some)) if some else set()
    return {seed: sum(values[seed] for values in some) / len(some) for seed in common}


def difference_of_decimals(value: float | None) -> Cell:
    """A difference of numbers that are no shares, with its sign."""
    return points_cell(None) if value is None else Cell(signed(f"{value:+.3f}"))


def by_set(scores: Scores, tests: Tests) -> Table:
    """Balanced accuracy of every ablation, set by set."""
    rows = [
        Row(method, [difference_cell(tests.get((name, method))) for name in scores.sets])
        for method in scores.ablations
    ]
    return Table(
        f"Ablated minus {OURS}, balanced accuracy by set, percent points", ["taken away", *scores.sets], rows
    )
