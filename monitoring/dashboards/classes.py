"""Which classes are answered, and are the rare ones still among them?"""

from grafana_foundation_sdk.models.dashboard import Dashboard

from monitoring.dashboards.frame import Row, framed, row, window_of
from monitoring.dashboards.panels import (
    BAD,
    FEW,
    GOOD,
    MANY,
    MEDIUM,
    PLAIN,
    PSI,
    WARN,
    at_the_end,
    colour,
    grid,
    lines,
    number,
    over_time,
    ranking,
    rows_of,
    step_list,
    value,
)
from monitoring.dashboards.promql import (
    BUNDLE,
    class_drift,
    class_shares,
    increase,
    psi,
    rate,
    select,
    shot_shares,
    total,
    training_shares,
)

WINDOW = "$window"
PREDICTIONS, PROBABILITY = "tailfuse_predictions_total", "tailfuse_probability_total"
FEW_SHOTS = 'shot="few"'
SHOTS = {"many": MANY, "medium": MEDIUM, "few": FEW}


def classes() -> Dashboard:
    return framed(
        "tailfuse-classes",
        "Classes",
        "Answers by class and by how many rows a class was learnt from, against the shares of training.",
        [at_a_glance(), groups(), each_class()],
        [window_of("5m", "15m", "1h", "6h", "1d", current="15m")],
    )


def at_a_glance() -> Row:
    named = increase(PREDICTIONS, "label")
    return row(
        "At a glance",
        number(
            "Answers",
            "Samples answered in the range; the fewer, the less the shares below mean.",
            at_the_end(increase("tailfuse_samples_total")),
            span=4,
        ),
        number(
            "Classes answered",
            "Classes that were named at least once in the range. Classes that share a name of "
            "theirs, such as other (few), count as one.",
            at_the_end(f"count({named} > 0) or vector(0)"),
            span=4,
        ),
        number(
            "Never answered",
            "Classes that were not named once in the range. Below, the rarest answers show "
            "which. A rare class needs patience: at a share of 0.1 % expect one in a thousand "
            "answers.",
            at_the_end(f"count({named} == 0) or vector(0)"),
            steps=((None, GOOD), (1, WARN)),
            filled=True,
            span=4,
        ),
        number(
            "Few-shot share",
            "Share of the answers that named a class of few training rows; its share in "
            "training is on the panel below. Near 0: the tail is not recognised any more.",
            over_time(f"max({shot_shares(WINDOW, FEW_SHOTS)})"),
            unit="percentunit",
            span=6,
        ),
        number(
            "Class drift",
            "Population stability index of the window's answers against those of the day before "
            "it. Above 0.25: other things come, or inputs have gone bad; look at Fusion. "
            "TailfuseClassShareDrift judges an hour.",
            over_time(f"max({class_drift(WINDOW)})"),
            steps=PSI,
            span=6,
        ),
    )


def groups() -> Row:
    training = f"sum by ({BUNDLE},shot) ({training_shares(f'{BUNDLE},label,shot')})"
    shares = shot_shares(WINDOW)
    groups = lines(
        "Head, medium and tail",
        "Share of the answers by how many rows their class was learnt from. A sudden change is "
        "a change of what comes, or a modality gone bad: look at Fusion.",
        over_time(f"max by (shot) ({shares})", "{{shot}}"),
        unit="percentunit",
        stacked=True,
    ).max(1)
    against = lines(
        "Share against training",
        "Share of the answers by share of the training rows: 1 is alike. few near 0: the tail "
        "is lost; all away from 1: other classes come than were learnt.",
        over_time(f"max by (shot) (({shares}) / on ({BUNDLE},shot) {training})", "{{shot}}"),
        steps=((None, GOOD), (1, PLAIN)),
    )
    for shot, name in SHOTS.items():
        groups = groups.override_by_name(shot, [colour(name)])
        against = against.override_by_name(shot, [colour(name)])
    return row(
        "Head, medium and tail",
        groups,
        against,
        lines(
            "Class drift by version",
            "Population stability index of the window's answers against the day before, and "
            "against training (which may have been thinned: only its changes tell). Versions "
            "that drift alike get other things; one alone has changed its mind.",
            over_time(class_drift(WINDOW), "{{version}}: day before"),
            over_time(psi(class_shares(WINDOW), training_shares()), "{{version}}: training"),
            steps=PSI,
        ),
    )


def each_class() -> Row:
    expected = total(select("tailfuse_class_training_share"), "label", "max")
    named = f"max by (label) ({class_shares('$__range')})"
    samples = increase("tailfuse_samples_total")
    probability = f"{increase(PROBABILITY, 'label')} / ignoring (label) group_left () {samples}"
    return row(
        "Each class",
        lines(
            "Answers by class",
            "What is answered. One class that takes over from the others: look at Fusion for a "
            "modality gone bad.",
            over_time(rate(PREDICTIONS, "label", window=WINDOW), "{{label}}"),
            unit="cps",
            stacked=True,
        ),
        lines(
            "Mean probability by class",
            "What the model gives a class on average. It moves before the answers do.",
            over_time(
                f"{rate(PROBABILITY, 'label', window=WINDOW)} / ignoring (label) group_left () "
                f"{rate('tailfuse_samples_total', window=WINDOW)}",
                "{{label}}",
            ),
            unit="percentunit",
        ),
        ranking(
            "Rarest answers",
            "The classes that were named least in the range; red is never. One of few shots "
            "may just not have come.",
            at_the_end(f"sort(bottomk(12, round({increase(PREDICTIONS, 'label')})))", "{{label}}"),
            ((None, BAD), (0.5, PLAIN)),
        ),
        grid(
            "Classes of the range",
            "Choose one model above. Ratio is the share of the answers by the share in "
            "training; mean probability far above the share: the class is often the second "
            "choice.",
            rows_of(f"max by (label, shot) ({select('tailfuse_class_training_share')})"),
            rows_of(named),
            rows_of(f"{named} / on (label) {expected}"),
            rows_of(probability),
            rows_of(f"round({increase(PREDICTIONS, 'label')})"),
            names={
                "label": "Class",
                "shot": "Shots",
                "Value #A": "Training share",
                "Value #B": "Share",
                "Value #C": "Ratio",
                "Value #D": "Mean probability",
                "Value #E": "Answers",
            },
        )
        .override_by_regexp(
            "/share|probability/i",
            [
                value("unit", "percentunit"),
                value("max", 1),
                value("custom.cellOptions", {"type": "gauge", "mode": "basic"}),
            ],
        )
        .override_by_name(
            "Ratio",
            [
                value("decimals", 2),
                value("custom.cellOptions", {"type": "color-text"}),
                value("thresholds", step_list(((None, BAD), (0.1, WARN), (0.25, PLAIN)))),
            ],
        ),
    )
